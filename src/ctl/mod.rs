//! The operator command line, one file per subcommand: a client of the admin API.

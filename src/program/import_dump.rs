//! `miroir serve --import-dump`: a dump comes in before anybody is served.
//!
//! A Miroir of this process that listens on this machine only takes it in by its public API, and ends; then the server
//! starts as configured. A file in `data_dir` says that an import has begun and not ended: with it no server starts unless the
//! same dump is given again, which goes on where it was.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, bounded};

use super::{Failure, serve};
use crate::config::Settings;
use crate::import::api::Api;
use crate::import::destination::DESTINATION;
use crate::import::{self, Destination, DumpFile, ImportError, Listener, Progress, Report, Source, Wanted};
use crate::server::End;
use crate::telemetry::clock;

/// In `data_dir`, while an import has begun and not ended; holds which dump.
const MARK: &str = "import-begun";
/// In `data_dir`, once anything is stored.
const DATABASE: &str = "miroir.db";
/// Between two lines of progress in the log.
const INTERVAL: Duration = Duration::from_secs(5);

/// What the command line says about a dump.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DumpWish {
    /// None: no import.
    pub dump: Option<PathBuf>,
    /// No dump is no reason not to start.
    pub ignores_missing: bool,
    /// Data that are there are no reason not to start.
    pub ignores_existing: bool,
    /// Go without what Miroir does not take.
    pub leaves_out: bool,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Decision {
    Serve,
    Import(PathBuf),
}

/// Imports the dump if that is wanted. False: it was asked to stop meanwhile.
pub fn before_serving(settings: &Settings, wish: &DumpWish, asked: &Receiver<()>) -> Result<bool, Failure> {
    match decide(&settings.data_dir, wish)? {
        Decision::Serve => Ok(true),
        Decision::Import(dump) => {
            let wanted = Wanted { leaves_out: wish.leaves_out, ..Wanted::default() };
            import(settings, &dump, wanted, asked)
        }
    }
}

fn decide(data_dir: &Path, wish: &DumpWish) -> Result<Decision, Failure> {
    let mark = data_dir.join(MARK);
    let is_begun = mark.exists();
    match &wish.dump {
        None if is_begun => Err(Failure::Operation(format!(
            "the import of a dump ({}) has begun in {} and not ended, so there is only a part of it. Start again with \
             --import-dump and the same dump: it goes on where it was. Or begin anew: empty data_dir and all nodes. Or serve \
             what is there: remove {}",
            fs::read_to_string(&mark).unwrap_or_default().trim(),
            data_dir.display(),
            mark.display()
        ))),
        None => Ok(Decision::Serve),
        Some(dump) if is_begun => Ok(Decision::Import(dump.clone())),
        Some(dump) if data_dir.join(DATABASE).exists() => {
            if wish.ignores_existing {
                tracing::info!(dump = %dump.display(), "there are data already: the dump is not imported");
                return Ok(Decision::Serve);
            }
            Err(Failure::Operation(format!(
                "--import-dump: there are data in {} already. Leave the dump out, or add --ignore-dump-if-db-exists, to serve \
                 them; `miroir-ctl import {}` imports into a running Miroir; to begin anew empty data_dir and all nodes",
                data_dir.display(),
                dump.display()
            )))
        }
        Some(dump) if !dump.exists() => {
            if wish.ignores_missing {
                tracing::info!(dump = %dump.display(), "there is no such dump: nothing is imported");
                return Ok(Decision::Serve);
            }
            Err(Failure::Operation(format!(
                "--import-dump: there is no {}; correct the path, or add --ignore-missing-dump",
                dump.display()
            )))
        }
        Some(dump) => Ok(Decision::Import(dump.clone())),
    }
}

fn import(settings: &Settings, dump: &Path, wanted: Wanted, asked: &Receiver<()>) -> Result<bool, Failure> {
    let data_dir = &settings.data_dir;
    let unusable = |error: io::Error| Failure::Operation(format!("data_dir {}: {error}", data_dir.display()));
    // What would only be found out after hours.
    drop(
        TcpListener::bind(settings.listen)
            .map_err(|error| Failure::Operation(format!("listen: cannot listen on {}: {error}", settings.listen)))?,
    );
    fs::create_dir_all(data_dir).map_err(unusable)?;
    tracing::info!(dump = %dump.display(), "unpacking the dump");
    let source = DumpFile::open(dump, data_dir)?;
    let mark = data_dir.join(MARK);
    let name = format!("{}, {}", source.kind(), dump.display());
    match fs::read_to_string(&mark) {
        Ok(begun) if begun.starts_with(&format!("{}, ", source.kind())) => {
            tracing::info!("the import of this dump had begun: it goes on");
        }
        Ok(begun) => {
            return Err(Failure::Operation(format!(
                "--import-dump: the import of another dump has begun in {} and not ended ({}): give that one, or empty \
                 data_dir and all nodes",
                data_dir.display(),
                begun.trim()
            )));
        }
        Err(_) => write_mark(&mark, &name).map_err(unusable)?,
    }
    let alone = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let Some(server) = serve::start(Settings { listen: alone, ..settings.clone() }, asked)? else { return Ok(false) };
    let address = server.addresses().client;
    let key = settings.master_key.as_ref().map(|key| key.expose().to_owned());
    let (ended, end) = bounded(1);
    let work = move || drop(ended.send(take_in(&source, address, key.as_deref(), &wanted)));
    let failed = |error| Failure::Operation(format!("a thread cannot be started: {error}"));
    std::thread::Builder::new().name("import".to_owned()).spawn(work).map_err(failed)?;
    let report = match server.wait_for(asked, &end) {
        Ok(report) => report,
        Err(End::Asked) => {
            tracing::info!("stopping within the import; with the same dump it goes on");
            server.stop();
            return Ok(false);
        }
        Err(End::Died(death)) => return Err(Failure::Operation(death.to_string())),
    };
    server.stop();
    judge(report, dump, &mark)?;
    fs::remove_file(&mark).and_then(|()| File::open(data_dir)?.sync_all()).map_err(unusable)?;
    tracing::info!("the dump is imported");
    Ok(true)
}

/// Whether the whole dump is there.
fn judge(report: Result<Option<Report>, ImportError>, dump: &Path, mark: &Path) -> Result<(), Failure> {
    let ways_out = format!(
        "Start again with --import-dump {} to go on where it was; or begin anew: empty data_dir and all nodes; or serve what \
         is there: remove {}",
        dump.display(),
        mark.display()
    );
    match report {
        // Without a master key there are no keys, as the operator wants it.
        Ok(Some(report)) if report.is_equal() || (report.keys.no_master_key && report.has_equal_indexes()) => {
            report.text().lines().for_each(|line| tracing::info!("{line}"));
            Ok(())
        }
        Ok(Some(report)) => {
            Err(Failure::Operation(format!("the dump was imported and is not the same:\n{}{ways_out}", report.text())))
        }
        Ok(None) => Ok(()),
        Err(error) => Err(Failure::Operation(format!("the import of the dump failed: {error}\n{ways_out}"))),
    }
}

fn take_in(
    source: &DumpFile,
    address: SocketAddr,
    key: Option<&str>,
    wanted: &Wanted,
) -> Result<Option<Report>, ImportError> {
    let destination = Destination::connect(Api::new(&format!("http://{address}"), key, DESTINATION))?;
    import::run(source, &destination, wanted, &mut Log { shown_at: None })
}

/// It is there before anything else is.
fn write_mark(mark: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(mark)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    mark.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Tells the log.
struct Log {
    shown_at: Option<Instant>,
}

impl Listener for Log {
    fn say(&mut self, line: &str) -> Result<(), ImportError> {
        tracing::info!("{line}");
        Ok(())
    }

    fn progress(&mut self, progress: Progress<'_>) -> Result<(), ImportError> {
        let now = clock::instant();
        if self.shown_at.is_none_or(|shown| now - shown >= INTERVAL) {
            self.shown_at = Some(now);
            let Progress { index, word, done, all, .. } = progress;
            tracing::info!(index, done, all, "documents are {word}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_comes_in_only_where_there_is_nothing_or_a_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path();
        let dump = data_dir.join("some.dump");
        let wish = DumpWish { dump: Some(dump.clone()), ..DumpWish::default() };
        let lenient = DumpWish { ignores_missing: true, ignores_existing: true, ..wish.clone() };
        let import = Decision::Import(dump.clone());
        assert!(decide(data_dir, &wish).unwrap_err().to_string().contains("--ignore-missing-dump"));
        assert_eq!(decide(data_dir, &lenient).unwrap(), Decision::Serve);
        File::create(&dump).unwrap();
        assert_eq!(decide(data_dir, &lenient).unwrap(), import);

        write_mark(&data_dir.join(MARK), "of then").unwrap();
        File::create(data_dir.join(DATABASE)).unwrap();
        assert_eq!(decide(data_dir, &wish).unwrap(), import, "it had begun");
        let refused = decide(data_dir, &DumpWish::default()).unwrap_err().to_string();
        assert!(refused.contains("of then") && refused.contains("--import-dump"), "{refused}");

        fs::remove_file(data_dir.join(MARK)).unwrap();
        assert!(decide(data_dir, &wish).unwrap_err().to_string().contains("--ignore-dump-if-db-exists"));
        assert_eq!(decide(data_dir, &lenient).unwrap(), Decision::Serve);
        assert_eq!(decide(data_dir, &DumpWish::default()).unwrap(), Decision::Serve);
    }
}

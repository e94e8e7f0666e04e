#!/usr/bin/env python3
"""Random simulation of shard moves (docs/plans/move-protocol.md, docs/INVARIANTS.md).

    python3 move_model.py --seeds N [--seed S --trace] [--without RULE ...]

One seed is one run: clients write and search while nodes are added and drained and R changes; nodes crash, are slow or come
back empty, answers get lost, the orchestrator restarts from what it stored. Then the faults stop and everything must settle:
the placement is the plan and every node holds exactly its shards, equal to an oracle (the journal applied on one server).

The write path is a leaner relative of the feeder protocol: no entry is ever rejected on one server (a `bad` document is only
written under lax settings, strict settings only when no bad document is stored), so a rejection on a node is a violation.
"""
import argparse
import copy
import random
import sys

RULES = {
    'ANNOUNCE': 'before the first foreign document reaches a node every core knows that it must be asked with the filter',
    'DRAIN1': 'the copy starts only when searches that began before the announcement have ended (not only the acknowledgements)',
    'POSITION': 'catch-up starts at the watermark of the source when it lists the ids, not at the head of the journal',
    'WAIT': 'the ids are listed only when the main stream of the target has passed that position',
    'CURSOR': 'a joining shard has its own cursor; the main stream takes the shard only when the cursor has reached it',
    'CLEARFIRST': 'each copy of an index starts with a delete by marker on the target',
    'FOREIGN': 'before settings are sent a node has no document of a joining or leaving shard: marker delete first, the copy restarts',
    'DROPPED': 'deletes by marker also go to a dropped index as long as the node has not passed the drop',
    'HOLLOW': 'an old owner that was under repair at the switch, or was wiped since, is no copy: not a source, not fed, not taken back',
    'REVERSE': 'a forced removal of an owner, while the old owner of a switch is still fed, takes that one back into the table',
    'GONE': 'a forced removal ends the moves to that node and its clean-ups',
    'RESET': 'the rebuild of an index begins with its deletion on the node; what is on it and unknown is deleted too',
    'SETTINGS': 'the ids are listed only when the source has passed every settings entry that the target has passed',
    'SOURCE': 'every fetch is checked to come from the same life of the source; else the copy starts again',
    'CURRENT': 'the switch is stored only if the target has applied all that was reported and is in sync; it counts at once',
    'OLDFED': 'the old owner is fed and counts for reports until every core has acknowledged and older searches have ended',
    'SWITCHFLAG': 'the snapshot of the switch says that the old owner holds foreign shards',
    'DRAIN2': 'the clean-up waits for the end of searches that began under an older snapshot',
    'SAFE': 'the clean-up waits until every replica of the shard in the new table is in sync; the old owner is fed until then',
    'UNFLAG': 'the filter is given up only after the delete by marker has ended on the node',
    'REACK': 'after a restart nobody is assumed to have acknowledged anything: publish again, wait again',
    'NEWINDEX': 'an index created during a repair is no part of it: the node has it from its first entry and is in sync there',
    'REPAIRGONE': 'the switch that takes a shard from a node ends the repair of that shard on that node in the same transaction',
    'GOAL': 'after a restart nodes are compared only at a position not before the head of the journal at the restart',
    'UNCLEAR': 'nodes are compared only while no request to one of them is unclear',
    'FUZZY': 'nodes are compared only at a position not before the head of the journal at the last fetch of the copy',
    'REBUILD': 'a node that came back empty is written to only when no core and no search reads it any more',
}
SHARDS, IDS, QUARANTINE, TIMEOUT, WINDOW = 4, 12, 15, 60, 4
DOC = ('put', 'del')


class Violation(Exception):
    pass


class Node:
    """One server: applies its queue in order. A wipe loses everything and starts a new life."""

    def __init__(self, name):
        self.name, self.up, self.slow, self.life = name, True, False, 0
        self.indexes, self.queue, self.late = {}, [], []     # name -> {'docs', 'strict'}; tasks that have not ended; not yet arrived
        self.tokens = {}                                     # token of an unclear send -> task

    def register(self, req):
        t = dict(req, status='enqueued')
        self.queue.append(t)
        if 'token' in t: self.tokens[t['token']] = t
        return t

    def wipe(self):
        self.indexes, self.queue, self.late, self.tokens, self.life = {}, [], [], {}, self.life + 1

    def pending(self, p):
        return any(t['p'] == p for t in self.queue)

    def step(self):
        if self.queue:
            t = self.queue.pop(0)
            t['status'] = 'succeeded' if apply(self.indexes, t) else 'failed'


def apply(indexes, t):
    """Applies one task; False: rejected, nothing changed."""
    p, kind = t['p'], t['kind']
    ix = indexes.get(p)
    if kind == 'create':
        if ix is None: indexes[p] = {'docs': {}, 'strict': False}
        return ix is None
    if kind == 'put' and ix is None: ix = indexes[p] = {'docs': {}, 'strict': False}    # a put creates a missing index
    if ix is None: return False
    docs = ix['docs']
    if kind == 'drop': del indexes[p]
    elif kind == 'clear': docs.clear()
    elif kind == 'settings':
        if t['value'] and any('g' in d for d in docs.values()): return False
        ix['strict'] = t['value']
    elif kind == 'mark':
        for i in [i for i in docs if i % SHARDS == t['shard']]: del docs[i]
    elif kind == 'del':
        for i in t['ids']: docs.pop(i, None)
    else:
        bad = {i % SHARDS for i, d in t['docs'].items() if 'g' in d} if ix['strict'] else set()
        if bad and t.get('copy'): return False
        t['rejected'] = bad                             # verdicts: a chunk applies whole or not at all
        for i, d in t['docs'].items():
            if i % SHARDS not in bad: docs[i] = {**docs.get(i, {}), **d} if t['merge'] else dict(d)
    return True


def clone(x):
    """What a transaction writes: a copy of the durable state."""
    if isinstance(x, dict): return {k: clone(v) for k, v in x.items()}
    if isinstance(x, list): return [clone(v) for v in x]
    return set(x) if isinstance(x, set) else x.clone() if isinstance(x, Job) else x


def cut(e, shards):
    part = dict(e)
    if e['kind'] == 'put': part['docs'] = {i: d for i, d in e['docs'].items() if i % SHARDS in shards}
    if e['kind'] == 'del': part['ids'] = [i for i in e['ids'] if i % SHARDS in shards]
    return part


class Job:
    """One move (or repair) of shard s to node d. Durable: everything but `epoch`, `vol` and `verified`.

    steps of a move: announce -> copy -> switched -> clean -> (gone); undo instead of switched when the plan has changed;
    a removal (d is None) starts at copy; a repair ends after copy. rec: index -> [state, cursor], state clear|catch|joined."""

    def __init__(self, kind, s, d):
        self.kind, self.s, self.d, self.o, self.step = kind, s, d, None, 'announce'
        self.rec, self.done, self.hollow = {}, set(), set()
        self.volatile()

    def clone(self):
        j = Job(self.kind, self.s, self.d)
        j.o, j.step, j.rec, j.done, j.hollow = self.o, self.step, clone(self.rec), set(self.done), set(self.hollow)
        return j

    def volatile(self):
        self.epoch, self.vol, self.verified, self.fuzzy = None, {}, {}, {}

    def __repr__(self):
        return '%s s%d->%s -%s %s %s' % (self.kind, self.s, self.d, self.o, self.step, self.rec)


class Sim:
    quiet = False

    def __init__(self, seed, rules, trace=False):
        self.rng = r = random.Random(seed)
        self.rules, self.trace, self.now = rules, trace, 0
        self.nodes = [Node('n%d' % i) for i in range(r.randint(2, 4))]
        n0 = r.randint(1, len(self.nodes))
        self.dead = set()
        self.R = r.randint(1, min(3, n0))
        self.allowed = set(range(n0))
        self.fault_rate = r.choice([0, 0.01, 0.02, 0.04])
        self.lost_rate = r.choice([0, 0.05, 0.2])
        self.write_rate = r.choice([0.05, 0.15, 0.4])
        self.most_jobs = r.randint(1, 4)
        # What there is more of than usual in this run.
        self.ack_rate, self.search_rate = r.choice([0.2, 0.2, 0.03]), r.choice([0.5, 0.5, 0.1])
        self.mix = r.choice([[16, 5, 1, 2, 0.7], [16, 5, 1, 2, 0.7], [10, 6, 2, 6, 0.5]])
        self.faults = r.choice([['node'] * 4 + ['slow'] * 2 + ['orchestrator'] * 4 + ['wipe', 'older', 'broken', 'force'],
                                ['orchestrator'] * 4 + ['slow', 'broken'], ['wipe', 'older', 'broken', 'orchestrator', 'node', 'node']])
        self.oracle, self.history, self.searches = {}, {}, []
        self.shield = {}
        self.stats, self.names = {}, {}                     # names: client name -> index, as of the journal's end
        # --- durable state of the orchestrator ---
        self.journal, self.status, self.flipped = [], set(), set()      # flipped: create/drop whose name is in the map
        self.table = [set(r.sample(sorted(self.allowed), self.R)) for _ in range(SHARDS)]
        self.plan = [set(t) for t in self.table]
        self.members = set(self.allowed)
        self.applied, self.out, self.todo = {}, set(), {}               # todo: (node, index) to be created: [position, stage]
        self.jobs, self.life, self.epoch = [], [0] * len(self.nodes), 0
        self.store()
        self.cores = [None, None]
        self.boot()
        self.cores = [self.published] * 2

    DURABLE = ('dead', 'table', 'plan', 'members', 'applied', 'out', 'todo', 'jobs', 'life', 'status', 'flipped', 'epoch')

    def store(self):
        """One transaction."""
        self.stored = {k: clone(getattr(self, k)) for k in self.DURABLE}

    def boot(self):
        """(Re)start: only what was stored survives. Core 0 dies with this process, core 1 belongs to another one."""
        for k, v in self.stored.items(): setattr(self, k, clone(v))
        self.pos, self.window = dict(self.applied), {}
        self.blocked = {n: (self.now + QUARANTINE, None, None) for n in range(len(self.nodes))}
        self.holds, self.goal = {}, len(self.journal)
        self.cores[0] = None
        self.searches = [q for q in self.searches if q['core']]
        self.publish()
        for j in self.jobs:
            j.volatile()
            j.epoch = self.epoch if 'REACK' in self.rules else 0
        self.leaving = {k: self.epoch if 'REACK' in self.rules else 0 for k in self.out | set(self.todo)}
        self.flip_epoch = {e: self.epoch for e in self.flipped}

    def log(self, *a):
        if self.trace: print('%5d' % self.now, *a)

    def count(self, what): self.stats[what] = self.stats.get(what, 0) + 1

    # ---- snapshots
    def publish(self):
        self.epoch += 1
        self.store()
        names = {}
        for e in self.journal:
            if e['n'] in self.flipped:
                if e['kind'] == 'create': names[e['index']] = e['p']
                elif names.get(e['index']) == e['p']: del names[e['index']]
        foreign = set()
        for j in self.jobs:
            if j.kind == 'move' and j.d is not None and j.step in ('announce', 'copy', 'undo'): foreign.add(j.d)
            if j.step == 'switched' and 'SWITCHFLAG' in self.rules or j.step == 'clean' and 'UNFLAG' in self.rules: foreign.add(j.o)
        self.published = dict(epoch=self.epoch, table=clone(self.table), out=set(self.out), names=names, foreign=foreign)
        self.cores = [c or self.published for c in self.cores]
        return self.epoch

    def acked(self, epoch): return all(c['epoch'] >= epoch for c in self.cores)
    def drained(self, epoch): return all(q['snap']['epoch'] >= epoch for q in self.searches)

    # ---- writes
    def current(self, index): return self.names.get(index)
    def live(self): return sorted(self.names.values())
    def present(self, n):
        """Indexes that the node may still have: those of today, and dropped ones whose drop it has not passed."""
        return sorted(p for (m, p) in self.applied if m == n and (p in self.oracle
                      or 'DROPPED' in self.rules and self.applied[n, p] < max(e['n'] for e in self.journal if e['p'] == p)))

    def born(self, p): return next(e['n'] for e in self.journal if e['p'] == p)

    def write(self):
        r = self.rng
        index = r.choice('aab')
        p, n = self.current(index), len(self.journal) + 1
        e = dict(n=n, index=index, p=p, time=self.now, shards=set(range(SHARDS)))
        if p is None: e.update(kind='create', p='%s-%d' % (index, n))
        else:
            ix = self.oracle[p]
            kind = e['kind'] = r.choices(['put', 'del', 'clear', 'settings', 'drop'], self.mix)[0]
            ids = r.sample(range(IDS), r.randint(1, 5))
            if kind == 'put':
                e['merge'], e['docs'] = r.random() < 0.5, {i: {r.choice('xy'): n} for i in ids}
                for d in e['docs'].values():
                    if r.random() < (0.1 if ix['strict'] else 0.2): d['g'] = 'bad'
            if kind == 'del': e['ids'] = ids
            if kind in DOC: e['shards'] = {i % SHARDS for i in ids}
            if kind == 'settings': e['value'] = not any('g' in d for d in ix['docs'].values()) and r.random() < 0.7
        self.journal.append(e)
        if e['kind'] == 'create': self.names[index] = e['p']
        if e['kind'] == 'drop': del self.names[index]
        assert apply(self.oracle, e)
        if e['p'] in self.oracle: self.history.setdefault(e['p'], []).append((n, copy.deepcopy(self.oracle[e['p']]['docs'])))
        self.log('journal', {k: v for k, v in e.items() if k not in ('time', 'index')})
        if e['kind'] == 'create':
            if 'GONE' in self.rules: self.out |= {(m, e['p']) for m in self.dead}
            for m in self.members: self.applied[m, e['p']] = self.pos[m, e['p']] = n - 1
            for j in self.jobs:
                if j.kind == 'move' and j.step == 'copy' and j.d is not None: j.rec[e['p']] = ['joined', n]
                if j.kind == 'repair' and 'NEWINDEX' not in self.rules: j.rec[e['p']] = ['clear', 0]
            self.store()

    def entries(self, p, after): return [e for e in self.journal[after:] if e['p'] == p]

    # ---- what a node is fed
    def target_job(self, n, s):
        return next((j for j in self.jobs if j.d == n and j.s == s and j.step in ('announce', 'copy')), None)

    def fed(self, n, s, p, num):
        """Does the main stream of (n, p) carry shard s of entry num?"""
        j = self.target_job(n, s)
        if j and (j.kind == 'move' or p in j.rec):      # a repair may be of some indexes only
            rec = j.rec.get(p)
            return bool(rec) and (rec[0] == 'joined' and num > rec[1] or 'CURSOR' not in self.rules)
        if n in self.table[s]: return True
        return any(j.s == s and j.o == n and j.step == 'switched' and p not in j.hollow for j in self.jobs) and 'OLDFED' in self.rules

    # ---- feeder of one node
    def feeder(self, n):
        node = self.nodes[n]
        if not node.up or n not in self.members: return
        if node.life != self.life[n]: return self.wiped(n)
        if n in self.blocked:
            until, token, then = self.blocked[n]
            hit = node.tokens.get(token)
            if hit is None and self.now < until: return
            del self.blocked[n]
            if hit: then(hit)
            return
        work = [(self.bootstrap, n, p) for m, p in sorted(self.todo) if m == n and (n, p) not in self.applied]
        gated = {p for m, p in self.leaving if m == n and ((n, p) in self.todo or self.rebuilding(n, p)) and 'REBUILD' in self.rules}
        for (m, p) in sorted(self.applied):
            if m != n or p in gated: continue
            self.collect(n, p)
            if (n, p) in self.todo: work.append((self.bootstrap, n, p))
            else: work.append((self.main_stream, n, p))
        for j in self.jobs:
            if j.step == 'copy' and j.d == n:
                work += [(self.join, j, p) for p in sorted(j.rec) if (n, p) in self.applied and (n, p) not in self.todo and p not in gated]
            if (j.step, j.o) == ('clean', n) or (j.step, j.d) == ('undo', n):
                work += [(self.clean, j, n, p) for p in self.present(n) if p not in j.done and p not in gated]
        self.rng.shuffle(work)
        for f, *a in work:
            if f(*a): return

    def send(self, n, req, then):
        """One request; its answer may get lost, and it may then register now, later (within the quarantine) or never."""
        node, r = self.nodes[n], self.rng
        if r.random() < (0 if self.quiet else self.lost_rate):
            req = dict(req, token=r.random())
            self.blocked[n] = (self.now + QUARANTINE, req['token'], then)
            fate = r.choice(['now', 'later', 'never'])
            self.log('n%d unclear' % n, req['kind'], req['p'], fate)
            if fate == 'now': node.register(req)
            if fate == 'later': node.late.append((self.now + r.randint(1, QUARANTINE - 2), req))
        else: then(node.register(req))
        return True

    def collect(self, n, p):
        """Advance the watermark over the tasks that have ended, in order."""
        w = self.window.setdefault((n, p), [])
        while w and (w[0][1] is None or w[0][1]['status'] != 'enqueued'):
            num, t = w.pop(0)
            if t: self.judge(n, self.journal[num - 1], t, 'main stream')
            if t and t['status'] == 'failed' and t['kind'] not in ('create', 'drop') and not (t['kind'] in ('del', 'clear') and p not in self.live()):
                raise Violation('J3: n%d rejects entry %d (%s)' % (n, num, t['kind']))
            self.applied[n, p] = max(self.applied[n, p], num)
            if self.journal[num - 1]['kind'] not in DOC: self.store()

    def judge(self, n, e, t, where):
        """The verdicts of a put are those of one server."""
        if t['kind'] != 'put' or t['status'] != 'succeeded': return
        want = {i % SHARDS for i in t['docs']} & e['rejected']
        if t['rejected'] != want:
            raise Violation('J4 %s: n%d rejects shards %s of entry %d, one server %s' % (where, n, t['rejected'], e['n'], want))

    def main_stream(self, n, p):
        w, node = self.window[n, p], self.nodes[n]
        for e in self.entries(p, self.pos[n, p]):
            if e['n'] > self.hold(n, p) or len(w) >= WINDOW: return False
            if w and self.journal[w[-1][0] - 1]['kind'] not in DOC: return False
            if e['kind'] in DOC:
                mine = {s for s in e['shards'] if self.fed(n, s, p, e['n'])}
                if mine:
                    def then(t):
                        w.append((e['n'], t))
                        self.pos[n, p] = e['n']
                    return self.send(n, cut(e, mine), then)
                self.pos[n, p] = e['n']
                w.append((e['n'], None))
                continue
            if w or node.pending(p): return False
            if e['kind'] == 'settings' and 'FOREIGN' in self.rules and not self.no_foreign(n, p): return False
            self.store()
            def then(t):
                w.append((e['n'], t))
                self.pos[n, p] = e['n']
            return self.send(n, dict(e), then)
        return False

    def no_foreign(self, n, p):
        """Before settings: no document of a shard that is joining or leaving is left in the index of the node."""
        for j in self.jobs:
            if n == (j.o if j.step == 'clean' else j.d if j.step == 'undo' else None) and p not in j.done: return False
            if j.d == n and j.step == 'copy' and p in j.rec and j.rec[p][0] != 'joined':
                v = j.vol.get(p) or {}
                if j.rec[p][0] == 'catch':
                    if p not in self.live(): self.restart(j, p, 'dropped')
                elif v.get('ids') is not None: self.restart(j, p, 'settings')
                elif v.get('sent') and v['sent']['status'] != 'enqueued': continue
                return False
        return True

    def bootstrap(self, n, p):
        """A new or emptied node: create the index, settings as of the stored position; then the main stream goes on."""
        at, stage = self.todo[n, p]
        if self.nodes[n].pending(p): return False
        if stage == 0 and (n, p) not in self.applied:       # only to be deleted
            self.todo.pop((n, p))
            self.store()
            return False
        values = [e['value'] for e in self.journal[:at] if e['p'] == p and e['kind'] == 'settings'] or [False]
        if stage == 2:
            self.todo.pop((n, p))
            self.store()
            return False
        def then(t): self.todo[n, p] = [at, stage + 1]
        return self.send(n, dict(kind=['create', 'settings', 'drop'][stage], p=p, value=values[-1]), then)

    def wiped(self, n):
        """Task numbers went back: the node is empty. Out of sync everywhere, then every shard of it is repaired."""
        self.log('n%d is empty' % n)
        self.count('wiped')
        self.life[n] = self.nodes[n].life
        self.blocked.pop(n, None)
        head = len(self.journal)
        for k in [k for k in self.applied if k[0] == n]: del self.applied[k]
        for k in [k for k in self.todo if k[0] == n]: del self.todo[k]
        self.enrol(n, -1 if 'RESET' in self.rules else 0)
        for p in self.nodes[n].indexes:
            if p not in self.live() and 'RESET' in self.rules: self.todo[n, p] = [head, -1]
        self.out |= {(n, p) for p in self.live()}
        for j in self.jobs:
            if j.o == n and j.step == 'switched' and 'HOLLOW' in self.rules: j.hollow = set(self.live())
            if j.d == n and j.step == 'copy': self.start_copy(j)
            if n == (j.o if j.step == 'clean' else j.d if j.step == 'undo' else None): j.vol, j.done = {}, set()
        self.jobs = [j for j in self.jobs if not (j.kind == 'repair' and j.d == n)]
        for s in range(SHARDS):
            if n in self.table[s]:
                self.jobs.append(Job('repair', s, n))
                self.start_copy(self.jobs[-1])
        self.publish()
        if n in self.shield: self.shield[n] = self.epoch
        for k in self.out:
            if k[0] == n: self.leaving[k] = self.epoch
        for j in self.jobs:
            if j.kind == 'repair' and j.d == n: j.epoch = self.epoch

    def broken(self):
        """One index of a node differs in a way that no replay repairs (a request that came far too late): rebuilt."""
        can = [(n, p) for n, p in sorted(self.out) if (n, p) in self.applied and not {(n, p)} & (set(self.todo) | set(self.leaving))
               and not self.rebuilding(n, p) and n not in self.blocked and self.nodes[n].life == self.life[n] and p in self.live()
               and all(m != n and (m, p) not in self.out for j in self.jobs if j.o == n and j.step == 'switched' for m in self.table[j.s] - self.dead)]
        if not can: return
        n, p = self.rng.choice(can)
        ix = self.nodes[n].indexes.get(p)
        if ix is None: return
        ix['docs'] = {i: {'x': 1, 'g': 'bad'} for i in ix['docs'] if self.rng.random() < 0.7}
        ix['strict'] = self.rng.random() < 0.5
        self.log('n%d' % n, p, 'is broken')
        self.count('broken')
        self.enrol(n, -1 if 'RESET' in self.rules else 0, [p])
        for j in self.jobs:
            if j.o == n and j.step == 'switched' and 'HOLLOW' in self.rules: j.hollow.add(p)
            if j.d == n and j.step == 'copy' and p in j.rec: self.restart(j, p, 'broken')
            if n == (j.o if j.step == 'clean' else j.d if j.step == 'undo' else None):
                j.done.discard(p)
                j.vol.pop(('clean', n, p), None)
        for s in range(SHARDS):
            if n in self.table[s]:
                j = next((j for j in self.jobs if (j.kind, j.s, j.d) == ('repair', s, n)), None)
                if j is None:
                    j = Job('repair', s, n)
                    j.step = 'announce'
                    self.jobs.append(j)
                j.rec[p] = ['clear', 0]
        self.publish()
        self.leaving[n, p] = self.epoch
        for j in self.jobs:
            if j.kind == 'repair' and j.d == n and j.step == 'announce': j.epoch = self.epoch

    def enrol(self, n, stage=0, indexes=None):
        self.members.add(n)
        for p in indexes or self.live():
            self.applied[n, p] = self.pos[n, p] = len(self.journal)
            self.window[n, p] = []
            self.todo[n, p] = [len(self.journal), stage]

    # ---- a shard joins a node: clear, copy, catch up
    def start_copy(self, j):
        j.rec = {p: ['clear', 0] for p in self.live()}
        j.vol, j.verified = {}, {}

    def restart(self, j, p, why):
        self.log('restart copy', j.s, '->', j.d, p, why)
        self.count('restart ' + why)
        j.rec[p], j.verified = ['clear', 0], {}
        j.vol.pop(p, None)
        self.store()

    def sources(self, j, p):
        """Nodes that have all of shard j.s up to their own watermark."""
        good = [n for n in self.table[j.s] if n != j.d and (n, p) not in self.out]
        good += [k.o for k in self.jobs if k.s == j.s and k.step == 'switched' and k.o not in (None, j.d) and (k.o, p) not in self.out and p not in k.hollow]
        return [n for n in good if self.nodes[n].up and self.nodes[n].life == self.life[n] and (n, p) in self.applied
                and (n, p) not in self.todo and p in self.nodes[n].indexes]

    def join(self, j, p):
        """One step of the copy of one index; True if a request was sent."""
        n, s, rec, r = j.d, j.s, j.rec[p], self.rng
        node, v = self.nodes[n], j.vol.setdefault(p, dict(tasks=[], ids=None, chunk=None, sent=None))
        if p not in self.live() and ('DROPPED' not in self.rules or rec[0] != 'clear'): return False
        barrier = self.window[n, p] and self.journal[self.window[n, p][-1][0] - 1]['kind'] not in DOC
        if barrier: return False
        if rec[0] == 'clear':
            if v['sent'] is None:
                if 'CLEARFIRST' not in self.rules:
                    v['sent'] = dict(status='succeeded')
                    return False
                def then(t): v['sent'] = t
                return self.send(n, dict(kind='mark', p=p, shard=s), then)
            if v['sent']['status'] == 'enqueued' or p not in self.live(): return False
            if v['ids'] is None:
                after = self.entries(p, self.pos[n, p])
                if after and after[0]['kind'] == 'settings' and 'FOREIGN' in self.rules: return False
                src = self.sources(j, p)
                if not src: return False
                m = r.choice(src)
                P = self.applied[m, p] if 'POSITION' in self.rules else len(self.journal)
                if not self.stands(n, p, P) and 'WAIT' in self.rules: return False
                if 'SETTINGS' in self.rules and any(e['kind'] == 'settings' and e['n'] <= self.pos[n, p] for e in self.entries(p, P)): return False
                v.update(P=P, src=m, life=self.nodes[m].life)
                v['ids'] = sorted(i for i in self.nodes[m].indexes[p]['docs'] if i % SHARDS == s)
                j.fuzzy[p] = len(self.journal)
                self.log('list', p, 's%d' % s, 'n%d -> n%d' % (m, n), v['ids'], 'P', P)
                return False
            src = self.nodes[v['src']]
            if (src.life != v['life'] and 'SOURCE' in self.rules) or any(t['status'] == 'failed' for t in v['tasks']):
                self.restart(j, p, 'source gone' if src.life != v['life'] else 'copy rejected')
                return False
            if v['chunk'] is None and v['ids']:
                if not src.up: 
                    if r.random() < 0.05: self.restart(j, p, 'source down')
                    return False
                take, v['ids'] = v['ids'][:2], v['ids'][2:]
                have = src.indexes.get(p, {'docs': {}})['docs']
                v['chunk'] = {i: dict(have[i]) for i in take if i in have}
                j.fuzzy[p] = len(self.journal)
                return False
            if v['chunk']:
                def then(t):
                    v['tasks'].append(t)
                    v['chunk'] = None
                return self.send(n, dict(kind='put', p=p, merge=False, docs=v['chunk'], copy=True), then)
            v['chunk'] = None
            if not v['ids'] and all(t['status'] == 'succeeded' for t in v['tasks']):
                j.rec[p] = ['catch' if 'CURSOR' in self.rules else 'joined', v['P']]
                v['tasks'] = []
                self.store()
            return False
        if rec[0] == 'catch':
            if v['ids'] is None: v.update(ids=[], P=rec[1])
            if v['tasks']:
                num, t = v['tasks'][0]
                if t['status'] == 'enqueued': return False
                if t['status'] == 'failed' and p in self.live(): raise Violation('J3: n%d rejects entry %d in the catch-up' % (n, num))
                self.judge(n, self.journal[num - 1], t, 'catch-up')
                rec[1], v['tasks'] = num, []
                return False
            for e in self.entries(p, rec[1]):
                if e['n'] > self.pos[n, p]:
                    rec[1] = max(rec[1], self.pos[n, p])
                    break
                if s in e['shards'] and e['kind'] in DOC + ('clear',):
                    def then(t): v['tasks'] = [(e['n'], t)]
                    return self.send(n, dict(kind='mark', p=p, shard=s) if e['kind'] == 'clear' else cut(e, {s}), then)
                rec[1] = e['n']
            else: rec[1] = max(rec[1], self.pos[n, p])
            if rec[1] >= self.pos[n, p]:
                j.rec[p] = ['joined', rec[1]]
                self.log('joined', p, 's%d' % s, 'n%d' % n, 'at', rec[1])
                self.store()
        return False

    def clean(self, j, n, p):
        key = ('clean', n, p)
        t = j.vol.get(key)
        if self.window[n, p] and self.journal[self.window[n, p][-1][0] - 1]['kind'] not in DOC: return False
        if t is None:
            def then(t): j.vol[key] = t
            self.check_delete(j, n)
            return self.send(n, dict(kind='mark', p=p, shard=j.s), then)
        if t['status'] != 'enqueued': j.done.add(p)
        return False

    # ---- workflow of the moves
    def insync(self, n): return not any(k[0] == n for k in self.out) and self.nodes[n].life == self.life[n]

    def reported(self, p, s=None):
        return max([e['n'] for e in self.journal if e['p'] == p and e['n'] in self.status and (s is None or s in e['shards'])] or [0])

    def make_jobs(self):
        for s in range(SHARDS):
            if any(j.s == s for j in self.jobs) or len(self.jobs) >= self.most_jobs or self.table[s] == self.plan[s]: continue
            add = sorted(self.plan[s] - self.table[s])
            j = Job('move', s, self.rng.choice(add) if add else None)
            if j.d is not None and j.d not in self.members: self.enrol(j.d)
            self.jobs.append(j)
            j.epoch = self.publish()
            self.log('new job', j)

    def workflow(self, j):
        s = j.s
        if j.kind == 'move' and j.step in ('announce', 'copy') and j.d is not None and j.d not in self.plan[s]:
            j.step, j.vol, j.done = 'undo', {}, set()
            self.count('undo')
            j.epoch = self.publish()
        elif j.step == 'announce':
            if 'ANNOUNCE' in self.rules and not (self.acked(j.epoch) and (self.drained(j.epoch) or 'DRAIN1' not in self.rules)): return
            j.step = 'copy'
            if j.d is not None and (j.kind == 'move' or 'NEWINDEX' not in self.rules): self.start_copy(j)
            self.store()
        elif j.step == 'copy':
            live = self.live()
            if j.d is None: return self.switch(j)
            mine = live if j.kind == 'move' else [p for p in live if p in j.rec]
            if any((j.d, p) in self.todo or (j.d, p) not in self.applied or j.rec.get(p, ['-'])[0] != 'joined' for p in mine): return
            for p in mine:
                if not j.verified.get(p): return self.verify(j, p)
            if j.kind == 'repair':
                self.jobs.remove(j)
                self.store()
            else: self.switch(j)
        elif j.step == 'switched':
            if self.acked(j.epoch) and (self.drained(j.epoch) or 'DRAIN2' not in self.rules):
                if j.o is None:
                    self.jobs.remove(j)
                    self.publish()
                elif all(self.insync(n) for n in self.table[s] - self.dead) or 'SAFE' not in self.rules:
                    j.step, j.vol, j.done = 'clean', {}, set()
                    self.publish()
        elif j.step in ('clean', 'undo'):
            n = j.o if j.step == 'clean' else j.d
            if all(p in j.done for p in self.present(n)):
                self.jobs.remove(j)
                self.count('moves')
                self.publish()
                self.log('done', j)

    def stands(self, n, p, V):
        """Has applied every entry of the index up to V."""
        return (n, p) in self.applied and not any(e['n'] <= V for e in self.entries(p, self.applied[n, p]))

    def hold(self, n, p):
        V, until = self.holds.get((n, p), (0, 0))
        return V if until >= self.now else 1e9

    def verify(self, j, p):
        """Hold source and target at one position for a moment and compare."""
        src = self.sources(j, p)
        v = j.vol.setdefault(p, {})
        if 'hold' not in v:
            if not src or min(self.hold(j.d, p), self.hold(src[0], p)) < 1e9: return
            m = src[0]
            V = max(self.pos[m, p], self.pos[j.d, p], self.goal if 'GOAL' in self.rules else 0,
                    j.fuzzy.get(p, 0) if 'FUZZY' in self.rules else 0)
            v['hold'] = (m, V, self.now + 40)
            self.holds[m, p] = self.holds[j.d, p] = (V, self.now + 40)
            return
        m, V, until = v['hold']
        done = m in src and self.stands(j.d, p, V) and self.stands(m, p, V)
        if 'UNCLEAR' in self.rules and (j.d in self.blocked or m in self.blocked): done = False
        if done and self.nodes[j.d].up and self.nodes[j.d].life == self.life[j.d]:
            a, b = [{i: d for i, d in self.nodes[k].indexes.get(p, {'docs': {}})['docs'].items() if i % SHARDS == j.s} for k in (m, j.d)]
            if max(self.pos[j.d, p], self.pos[m, p]) <= V and not self.nodes[m].pending(p) and not self.nodes[j.d].pending(p):
                if a != b: raise Violation('C1 verify: %s s%d n%d %s, n%d %s' % (p, j.s, m, a, j.d, b))
                j.verified[p] = True
        if j.verified.get(p) or self.now > until:
            del v['hold']
            self.holds.pop((m, p), None)
            self.holds.pop((j.d, p), None)

    def switch(self, j):
        s = j.s
        extra = sorted(self.table[s] - self.plan[s], key=lambda n: (self.insync(n), n))
        j_o = extra[0] if extra and len(self.table[s]) + (j.d is not None) > len(self.plan[s]) else None
        if j.d is None:
            if j_o is None:
                self.jobs.remove(j)
                return
            if not all(self.insync(n) for n in self.table[s] - {j_o} - self.dead): return
        elif 'CURRENT' in self.rules:
            for p in self.live():
                if (j.d, p) in self.out or not self.stands(j.d, p, max(self.reported(p), j.rec[p][1])): return
            if self.nodes[j.d].life != self.life[j.d]: return
        before = len([n for n in self.table[s] if self.insync(n)])
        j.o, j.step = j_o, 'switched'
        j.hollow = {p for k in self.jobs if (k.kind, k.s, k.d) == ('repair', s, j_o) and 'HOLLOW' in self.rules for p in k.rec}
        if 'REPAIRGONE' in self.rules: self.jobs = [k for k in self.jobs if not (k.kind == 'repair' and (k.s, k.d) == (s, j_o))]
        self.table[s] = (self.table[s] | ({j.d} if j.d is not None else set())) - {j_o}
        after = len([n for n in self.table[s] if self.insync(n)])
        if after < min(before, len(self.plan[s])): raise Violation('M1: switch of s%d leaves %d in-sync replicas of %d' % (s, after, before))
        j.epoch = self.publish()
        self.count('switch')
        self.log('switch', j, 'table', self.table[s])

    def check_delete(self, j, n):
        """M1, M2 at the moment a copy is deleted."""
        if j.step != 'clean': return
        for c in self.cores:
            if n in c['table'][j.s]: raise Violation('M2: s%d deleted on n%d while a core reads it there' % (j.s, n))
        for q in self.searches:
            if n in q['snap']['table'][j.s]: raise Violation('M2: s%d deleted on n%d under a running search' % (j.s, n))

    # ---- in-sync set, reports
    def required(self, e):
        p, need = e['p'], set()
        for s in e['shards']:
            need |= {n for n in self.table[s] if (n, p) not in self.out or (n, p) in self.leaving}
            for j in self.jobs:
                if j.s == s and j.step == 'switched' and j.o is not None and p not in j.hollow and 'OLDFED' in self.rules and ((j.o, p) not in self.out or (j.o, p) in self.leaving):
                    if not (self.acked(j.epoch) and self.drained(j.epoch)): need.add(j.o)
        return need

    def rebuilding(self, n, p): return any(j.kind == 'repair' and j.d == n and p in j.rec for j in self.jobs)

    def control(self):
        self.store()
        for k, epoch in list(self.leaving.items()):
            if self.acked(epoch) and (self.drained(epoch) or not (self.rebuilding(*k) or k in self.todo)): del self.leaving[k]
        self.out -= {k for k in self.out if k[0] in self.dead and not any(k[0] in t for t in self.table)}
        for (n, p), w in sorted(self.applied.items()):
            if p not in self.live() or not any(n in t for t in self.table): self.out.discard((n, p))
            if p not in self.live() or (n, p) in self.todo: continue
            late = [e for e in self.entries(p, w) if self.now - e['time'] > TIMEOUT]
            if (n, p) in self.out:
                if (n, p) not in self.leaving and not self.rebuilding(n, p) and w >= self.reported(p):
                    self.out.discard((n, p))
                    self.publish()
                    self.log('n%d back' % n, p)
            elif late and self.covered(n, p):
                peers = {m for s in range(SHARDS) if n in self.table[s] for m in self.table[s] - {n} if (m, p) not in self.out}
                if all(self.applied.get((m, p), 0) >= late[0]['n'] for m in peers):
                    self.out.add((n, p))
                    self.leaving[n, p] = self.publish()
                    self.log('n%d leaves' % n, p)
        for j in list(self.jobs):
            if j in self.jobs and self.rng.random() < 0.6: self.workflow(j)
        self.make_jobs()
        for e in self.journal:
            if e['n'] in self.status or any(self.applied.get((n, e['p']), 0 if e['p'] in self.oracle else 1e9) < e['n'] or (n, e['p']) in self.todo for n in self.required(e)): continue
            if e['kind'] in ('create', 'drop'):
                if e['n'] not in self.flipped:
                    self.flipped.add(e['n'])
                    self.flip_epoch[e['n']] = self.publish()
                if not self.acked(self.flip_epoch[e['n']]): continue
            elif self.born(e['p']) not in self.status: continue
            self.status.add(e['n'])

    def covered(self, n, p):
        mine = [s for s in range(SHARDS) if n in self.table[s]]
        return bool(mine) and all(any((m, p) not in self.out for m in self.table[s] - {n}) for s in mine)

    # ---- searches
    def search(self):
        """A search starts on a core; its requests reach the nodes at later moments."""
        r = self.rng
        c = r.randrange(2)
        snap, index = self.cores[c], r.choice('ab')
        p = snap['names'].get(index)
        done = [e for e in self.journal if e['index'] == index and e['n'] in self.status]
        if done and done[-1]['kind'] != 'drop' and p is None and self.current(index) == done[-1]['p']:
            raise Violation('R1: index %s has no name on a core' % index)
        if p is None: return
        cover, missing = {}, set()
        for s in range(SHARDS):
            can = sorted(n for n in snap['table'][s] if (n, p) not in snap['out'])
            if can: cover.setdefault(r.choice(can), set()).add(s)
            else: missing.add(s)
        since = [self.reported(p, s) for s in range(SHARDS)]
        parts = [(n, None if n not in snap['foreign'] and a == {s for s in range(SHARDS) if n in snap['table'][s]} else a, a)
                 for n, a in cover.items()]
        if missing and all(x.up and x.life == self.life[i] for i, x in enumerate(self.nodes)) and not self.out and not snap['out']:
            raise Violation('R1: no replica for shards %s' % missing)
        self.searches.append(dict(core=c, snap=snap, p=p, since=since, parts=parts, hits=[], ok=set(), ids=[]))

    def step_search(self, q):
        r, p = self.rng, q['p']
        if r.random() > (0.5 if self.quiet else self.search_rate): return
        if q['parts']:
            n, flt, shards = q['parts'].pop()
            seen = self.nodes[n].up and self.nodes[n].life == self.life[n] and q['snap']['epoch'] >= self.shield.get(n, 0)
            ix = self.nodes[n].indexes.get(p) if seen else None     # older data, before it is noticed: no rule helps readers
            if ix is None: return                                   # an error: retried elsewhere or said to be degraded
            q['ok'] |= shards
            q['hits'] += [(n, i, dict(d)) for i, d in ix['docs'].items() if flt is None or i % SHARDS in flt]
            return
        self.searches.remove(q)
        if p not in self.live(): return
        found = {}
        for n, i, d in q['hits']:
            if i in found: raise Violation('R1/R4: %s id %d counted on n%d and n%d (epoch %d)' % (p, i, found[i][0], n, q['snap']['epoch']))
            found[i] = (n, d)
        for i in range(IDS):
            s = i % SHARDS
            if s not in q['ok']:
                if i in found: raise Violation('R1: %s id %d from n%d, which was not asked for s%d' % (p, i, found[i][0], s))
                continue
            h = self.history[p]
            start = max([k for k, (num, _) in enumerate(h) if num <= q['since'][s]] or [0])
            ok = [docs.get(i) for _, docs in h[start:]]
            d = found.get(i, (None, None))[1]
            if d not in ok and not (d and all(any((o or {}).get(k) == d.get(k) for o in ok) for k in 'xyg')):
                raise Violation('R1 search: %s id %d is %s on %s, allowed since %d: %s (epoch %d)' % (
                    p, i, d, found.get(i), q['since'][s], ok, q['snap']['epoch']))

    # ---- faults and plan changes
    def replan(self):
        r = self.rng
        what = r.choice(['add', 'drain', 'R', 'shuffle'])
        rest = set(range(len(self.nodes))) - self.allowed - self.dead
        if what == 'add' and rest: self.allowed.add(r.choice(sorted(rest)))
        elif what == 'drain' and len(self.allowed) > 1: self.allowed.discard(r.choice(sorted(self.allowed)))
        elif what == 'R': self.R = r.randint(1, 3)
        self.R = min(self.R, len(self.allowed))
        for s in range(SHARDS):
            keep = sorted(self.plan[s] & self.allowed)
            r.shuffle(keep)
            self.spread(s, keep[:max(0, self.R - (r.random() < 0.4))])
        self.store()
        self.count('plan ' + what)
        self.log('plan', what, 'allowed', self.allowed, 'R', self.R, self.plan)

    def force(self, n):
        """A dead node is removed by force: it is no member any more, whatever it holds is never read again."""
        if n not in self.members or not self.may_wipe(n) or len(self.allowed - {n}) < 1: return
        node = self.nodes[n]
        node.up, node.late = False, []
        self.dead.add(n)
        self.members.discard(n)
        self.allowed.discard(n)
        self.R = min(self.R, len(self.allowed))
        for s in range(SHARDS): self.spread(s, sorted(self.plan[s] & self.allowed))
        for k in [k for k in self.applied if k[0] == n]: del self.applied[k]
        for k in [k for k in self.todo if k[0] == n]: del self.todo[k]
        for j in list(self.jobs):
            if n in self.table[j.s] and j.step == 'switched' and j.o in self.members and not j.hollow and 'REVERSE' in self.rules:
                self.jobs.remove(j)
                self.table[j.s] = self.table[j.s] - {n} | {j.o}         # it is still fed: the switch is taken back
                self.out |= {(j.o, p) for p in self.live() if not self.stands(j.o, p, self.reported(p))}
        if 'GONE' in self.rules: self.jobs = [j for j in self.jobs if not (j.d == n and j.step in ('announce', 'copy', 'undo') or j.step == 'clean' and j.o == n)]
        self.out |= {(n, p) for p in self.live()}
        self.publish()
        for k in self.out:
            if k[0] == n: self.leaving[k] = self.epoch
        self.count('forced')
        self.log('n%d is removed by force' % n, self.plan)

    def spread(self, s, keep):
        more = sorted(self.allowed - set(keep))
        self.rng.shuffle(more)
        self.plan[s] = set((keep + more)[:self.R])

    def may_wipe(self, n):
        """A fault the design must survive: every shard has another complete copy that the orchestrator still feeds."""
        if self.out or any(x.life != self.life[i] for i, x in enumerate(self.nodes)) or any(j.kind == 'repair' for j in self.jobs): return False
        for s in range(SHARDS):
            if n in self.table[s] and not self.table[s] - {n} - self.dead:
                if not any(j.s == s and j.step == 'switched' and j.o in self.members - {n} and not j.hollow for j in self.jobs): return False
        return n in self.members

    def tick(self):
        r = self.rng
        self.now += 1
        for n, node in enumerate(self.nodes):
            for x in [x for x in node.late if x[0] <= self.now]:
                node.late.remove(x)
                node.register(x[1])
            if node.up and r.random() < (0.05 if node.slow else 0.7): node.step()
        for n in r.sample(range(len(self.nodes)), len(self.nodes)):
            if r.random() < 0.8: self.feeder(n)
        if r.random() < 0.6: self.control()
        for c in range(2):
            if r.random() < (0.2 if self.quiet else self.ack_rate): self.cores[c] = self.published
        if r.random() < 0.3 and len(self.searches) < 6: self.search()
        for q in list(self.searches): self.step_search(q)
        if self.quiet: return
        if r.random() < 0.01: self.replan()
        if r.random() > self.fault_rate: return
        what, n = r.choice(self.faults), r.randrange(len(self.nodes))
        node = self.nodes[n]
        if n in self.dead and what != 'orchestrator': return
        if what == 'force': self.force(n)
        elif what == 'node':
            node.up = not node.up
            node.late = node.late if node.up else []
            self.log(node.name, 'up' if node.up else 'down')
        elif what == 'slow': node.slow = not node.slow
        elif what == 'wipe' and self.may_wipe(n):
            self.log(node.name, 'loses its data')
            node.wipe()
        elif what == 'older' and self.may_wipe(n):
            self.log(node.name, 'comes back with older data')
            old = copy.deepcopy(node.indexes)
            self.shield[n] = 1e9
            node.wipe()
            for p, ix in old.items():
                for i in sorted(ix['docs']):
                    if r.random() < 0.4: ix['docs'].pop(i)
                    elif r.random() < 0.3: ix['docs'][i] = {'x': 1, 'g': 'bad'}
                if r.random() < 0.5: ix['strict'] = r.random() < 0.5
                if r.random() < 0.8: node.indexes[p] = ix
        elif what == 'broken': self.broken()
        elif what == 'orchestrator':
            self.log('orchestrator restarts')
            self.boot()

    def run(self, ops, limit=6000):
        while len(self.journal) < ops or self.now < 500:
            if len(self.journal) < ops and self.rng.random() < self.write_rate: self.write()
            self.tick()
        self.quiet = True
        for n, node in enumerate(self.nodes): node.up, node.slow = n not in self.dead, False
        end = self.now + limit
        while not self.still():
            if self.now > end:
                raise Violation('liveness: entries %s out %s jobs %s table %s plan %s' % (
                    [e['n'] for e in self.journal if e['n'] not in self.status], self.out, self.jobs, self.table, self.plan))
            self.tick()
        for n, node in enumerate(self.nodes):
            if n in self.dead: continue
            for p, want in self.oracle.items():
                docs = {i: d for i, d in want['docs'].items() if n in self.table[i % SHARDS]}
                have = node.indexes.get(p)
                if have is None and not any(n in t for t in self.table): continue
                if have is None or have['docs'] != docs: raise Violation('C1: n%d %s has %s, should have %s' % (n, p, have, docs))
                if have['strict'] != want['strict']: raise Violation('C1 settings: n%d %s' % (n, p))
            for p in node.indexes:
                if p not in self.oracle: raise Violation('C2: deleted index %s is back on n%d' % (p, n))

    def still(self):
        return (len(self.status) == len(self.journal) and not self.out and not self.jobs and not self.todo and self.table == self.plan
                and not any(x.late or x.queue for n, x in enumerate(self.nodes) if n not in self.dead) and not any(n in self.blocked for n in self.members)
                and not any(self.entries(p, w) for (n, p), w in self.applied.items())
                and all(x.life == self.life[n] for n, x in enumerate(self.nodes) if n not in self.dead))


def one(seed, rules, trace=False, ops=40):
    sim = Sim(seed, rules, trace)
    try:
        sim.run(ops)
    except Violation as v:
        return str(v), sim
    return None, sim


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--seeds', type=int, default=500)
    ap.add_argument('--first', type=int, default=0)
    ap.add_argument('--seed', type=int)
    ap.add_argument('--ops', type=int, default=40)
    ap.add_argument('--without', nargs='*', default=[], choices=sorted(RULES))
    ap.add_argument('--trace', action='store_true', help='print every step')
    a = ap.parse_args()
    rules = set(RULES) - set(a.without)
    if a.seed is not None:
        v, sim = one(a.seed, rules, a.trace, a.ops)
        print('seed %d R=%d: %s %s' % (a.seed, sim.R, v or 'ok', sim.stats))
        return 1 if v else 0
    kinds, stats = {}, {}
    for s in range(a.first, a.first + a.seeds):
        v, sim = one(s, rules, ops=a.ops)
        for k, x in sim.stats.items(): stats[k] = stats.get(k, 0) + x
        if v: kinds.setdefault(v.split(':')[0], []).append((sim.now, s, v))
    for k, found in sorted(kinds.items()):
        found.sort()
        print('%-10s %5d seeds, e.g. %s' % (k, len(found), found[:2]))
    print('%d seeds, %d violations; %s' % (a.seeds, sum(map(len, kinds.values())), stats))
    return 1 if kinds else 0


if __name__ == '__main__':
    sys.exit(main())

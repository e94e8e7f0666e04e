#!/usr/bin/env python3
"""Rules that a mixed run seldom needs: the same with more of the fault that they are for; each also with all rules on.

    python3 storm.py [--seeds 600] [--first 300000] [RULE ...]
"""
import argparse
import move_model as m
STORMS = {
    'DROPPED': dict(mix=[12, 4, 1, 5, 3], faults=['node', 'node', 'slow'], fault_rate=0.03),
    'FUZZY': dict(mix=[8, 8, 6, 1, 0.3], write_rate=0.4, fault_rate=0.01),
    'GOAL': dict(faults=['orchestrator', 'slow'], fault_rate=0.06, write_rate=0.4),
    'GONE': dict(faults=['force', 'node', 'slow'], fault_rate=0.03),
    'REVERSE': dict(faults=['force', 'slow', 'slow'], fault_rate=0.03),
    'HOLLOW': dict(faults=['wipe', 'older', 'node'], fault_rate=0.05),
    'SOURCE': dict(faults=['wipe', 'node', 'node'], fault_rate=0.08, write_rate=0.4),
    'SETTINGS': dict(mix=[12, 6, 1, 8, 0.3], faults=['node', 'slow', 'slow'], fault_rate=0.03),
    'FOREIGN': dict(mix=[12, 6, 1, 8, 0.3], faults=['node', 'slow', 'slow'], fault_rate=0.03),
    'UNCLEAR': dict(lost_rate=0.5, write_rate=0.4),
    'CURRENT': dict(faults=['wipe', 'slow', 'node'], fault_rate=0.06),
    'SAFE': dict(faults=['wipe', 'older', 'slow'], fault_rate=0.06),
    'WAIT': dict(mix=[8, 6, 6, 1, 0.3], faults=['slow', 'node'], fault_rate=0.03, write_rate=0.4),
}


def one(seed, rules, storm):
    sim = m.Sim(seed, rules)
    for k, v in storm.items(): setattr(sim, k, v)
    try: sim.run(60)
    except m.Violation as v: return str(v)
    except Exception as e: return 'crash of the model %r' % e


ap = argparse.ArgumentParser()
ap.add_argument('--seeds', type=int, default=600)
ap.add_argument('--first', type=int, default=300000)
ap.add_argument('--enough', type=int, default=8)
ap.add_argument('rules', nargs='*')
a = ap.parse_args()
for rule in a.rules or sorted(STORMS):
    line = '%-10s' % rule
    for without in (True, False):
        found, kinds, n = [], {}, 0
        for s in range(a.first, a.first + a.seeds):
            n += 1
            v = one(s, set(m.RULES) - ({rule} if without else set()), STORMS[rule])
            if v:
                found.append(s)
                kinds[v.split(':')[0]] = kinds.get(v.split(':')[0], 0) + 1
                if len(found) >= a.enough: break
        line += ' %s %d of %d %s %s;' % ('without' if without else 'with', len(found), n, kinds, found[:3])
    print(line, flush=True)

#!/usr/bin/env python3
"""Leaves out one rule at a time: in how many seeds is a violation found, and of which kind?

    python3 sweep.py [--seeds 400] [--first 50000] [RULE ...]
"""
import argparse, sys
import move_model as m
ap = argparse.ArgumentParser()
ap.add_argument('--seeds', type=int, default=400)
ap.add_argument('--first', type=int, default=50000)
ap.add_argument('--enough', type=int, default=25)
ap.add_argument('rules', nargs='*')
a = ap.parse_args()
for rule in a.rules or ['-'] + sorted(m.RULES):
    found, kinds, n = [], {}, 0
    for s in range(a.first, a.first + a.seeds):
        n += 1
        try: v, _ = m.one(s, set(m.RULES) - {rule})
        except Exception as e: v = 'crash of the model %r' % e
        if v:
            found.append(s)
            k = v.split(':')[0]
            kinds[k] = kinds.get(k, 0) + 1
            if len(found) >= a.enough: break
    print('%-10s %4d of %5d seeds %s e.g. %s' % (rule, len(found), n, kinds, found[:3]), flush=True)

"""What may happen in a run of the model. A rule stands with whoever acts in it:

| module | who acts |
|---|---|
| `watching` | time, the reports, and automation that looks at them |
| `operators` | people, by commands on rollouts |
| `services` | people, by service files and deletions |
| `freezes` | people, by freezes and holds |
| `faults` | no one: controllers die, sleep, lose the store; answers get lost; clocks jump |
| `proxies` | proxies and the way to them |
| `races` | two at once: something lands between a decision and its write |

Most belong to the runs of one trouble alone: `under`. All that a rule is made from is `Play`'s.
"""

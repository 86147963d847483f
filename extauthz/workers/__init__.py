"""Several processes that answer Checks (extauthz.workers): a parent that loads policies, and workers that decide.

Invariants:

1. A policy decides in every worker or in none: all have loaded it before the first one swaps, and one refusal
   refuses it for all.
2. A worker that is started again decides by the policy of the others before it answers.
3. A worker that does not react is killed and started again, so that it cannot go on with an old policy.
4. No worker outlives its parent, however that ends.
"""

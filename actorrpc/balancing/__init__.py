"""Which connections should move where.

For whoever writes a policy: `view`, what a policy sees and answers, and `eligible`, which connections and
hubs it may choose. For the broker: the `policies` that have names, `decide`, which asks one and checks its
answers, and `recorder`. For `actorrpc simulate`: `simulation`, which no server imports.
"""

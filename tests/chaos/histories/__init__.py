"""What clients of keyed actors see, in real time, judged: linearizable, and one instance at every instant."""

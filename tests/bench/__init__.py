"""The benchmarks: our hooks per second beside what PostgreSQL itself can do on the same machine in the same minutes."""

"""The hardware of a run: processes, devices, precision, compiler, threads, and the load of other programs."""

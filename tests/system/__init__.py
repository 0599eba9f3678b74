"""Tests of the running program from outside: what it does to packets, and what its operator sees.

`switch` starts it and talks to it, `net` makes hosts in namespaces, `packets` makes frames and checks them without any of
the program's code. A test waits for conditions, never for time, and takes down what it made."""

"""Log levels of libraries, set by importing this first: what a process imports afterwards prints no warnings."""

from labs.shootout.loader_adapters import quiet_libraries

quiet_libraries()

"""The local stack: every process of gateledger on one machine, started, watched and stopped as one."""

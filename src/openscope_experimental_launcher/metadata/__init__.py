"""Records that prove what ran: parameters, command line, machine, code, environment."""

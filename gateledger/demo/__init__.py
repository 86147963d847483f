"""What `up --demo` adds: a sample upstream and a token issuer. Loopback only; never for production."""

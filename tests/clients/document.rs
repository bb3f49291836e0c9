//! What `docs/resolver-setup.md` shows is what the tests of the clients run.

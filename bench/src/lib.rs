//! Load driver, scenarios and benches of Wirebahn.

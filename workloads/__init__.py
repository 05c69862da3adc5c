"""Networks and compressed tensors. Knows no hardware; of `sim` it uses `errors`, `config` and `units` only."""

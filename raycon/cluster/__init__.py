"""Everything that touches Ray: the worker engine, warm worker groups, the trainable and the sweep that drives them."""

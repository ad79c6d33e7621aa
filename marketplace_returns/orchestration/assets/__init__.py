"""The assets of a shop, made by a thin factory per layer: build inputs, call one function, return metadata."""

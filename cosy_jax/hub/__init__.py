"""Released weights from a hub: found by name, downloaded, checked, converted. Only `names` is cheap to import."""

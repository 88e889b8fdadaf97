"""The whole layer: residuals, normalisation, depth."""

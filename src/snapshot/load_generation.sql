select generation from catalog

"""Programs that show how actorrpc is used."""

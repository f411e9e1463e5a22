"""The commands of the command line, a file for each group; `raycon.cli` puts them in order."""

"""The studio: one page on loopback for the people who edit taxonomies. Try `datagen studio`, see docs/studio.md.

The page is an editor of the project's files; beside it stand the faults of `datagen check`, the prompts of the plan and
what they cover, and samples of the model, scored. The files are the only store: what is typed is written at once, if
the file on disk is still what the editor read. Modules:

* `files`: which files there are, and how they are read and written.
* `looking`: faults, prompts, coverage and what no scorer judges, all from the functions of the commands.
* `drawing`: a few samples by the model of a recipe, in a thread that can be stopped.
* `server`: the addresses of all that, and who may ask for them.
* `static/`: the page. `editor.js` is a build of CodeMirror; `editor/` at the root of the repository makes it.

Not covered: accounts, other machines, runs and their samples (`datagen report`).
"""

from datagen.studio.editing import Studio, open_studio
from datagen.studio.viewing import Viewer, open_view

__all__ = ["Studio", "Viewer", "open_studio", "open_view"]

"""The studio: pages on loopback for the people who edit taxonomies and look at runs.

Try `datagen studio` and `datagen view RUN`, see docs/studio.md. One page is an editor of the project's files; beside it
stand the faults of `datagen check`, the prompts of the plan and what they cover, and samples of the model, scored. The
files are the only store: what is typed is written at once, if the file on disk is still what the editor read. The other
page shows runs: samples filtered and sorted, two runs side by side, and what a person says of samples. Modules:

* `server`: who may ask, and how answers are sent. `editing` and `viewing`: the addresses of the two pages.
* `files`: which files there are, and how they are read and written.
* `looking`: faults, prompts, coverage and what no scorer judges, all from the functions of the commands.
* `drawing`: a few samples by the model of a recipe, in a thread that can be stopped.
* `runs`: reads runs as they grow. `table`: their samples as columns. `search`: what the model wrote in them. `pairs`:
  the prompts of two runs.
* `static/`: the pages. `editor.js` is a build of CodeMirror; `editor/` at the root of the repository makes it.

Not covered: accounts, other machines.
"""

from datagen.studio.editing import Studio, open_studio
from datagen.studio.server import Server
from datagen.studio.viewing import Viewer, open_view

__all__ = ["Server", "Studio", "Viewer", "open_studio", "open_view"]

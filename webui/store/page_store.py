"""Everything that the pages keep, as one value to hand around."""

from webui.store.asking import Asking
from webui.store.conversations import Conversations
from webui.store.files import Files
from webui.store.folders import Folders
from webui.store.opening import PageDatabase
from webui.store.opinions import Opinions
from webui.store.presets import Presets
from webui.store.sessions import Sessions
from webui.store.shares import Shares
from webui.store.studies import Studies
from webui.store.study_errands import StudyErrands
from webui.store.study_tasks import StudyTasks
from webui.store.users import Users
from webui.store.versions import Versions


class PageStore:
    """The stores over one database. To be closed."""

    def __init__(self, url: str) -> None:
        """`url` as `webui.database_url` has it. Raises UserError for what is none."""
        self._database = PageDatabase(url)
        self.conversations = Conversations(self._database)
        self.asking = Asking(self._database)
        self.files = Files(self._database)
        self.folders = Folders(self._database)
        self.opinions = Opinions(self._database)
        self.presets = Presets(self._database)
        self.shares = Shares(self._database)
        self.versions = Versions(self._database)
        self.users = Users(self._database)
        self.sessions = Sessions(self._database)
        self.studies = Studies(self._database)
        self.study_tasks = StudyTasks(self._database)
        self.study_errands = StudyErrands(self._database)

    async def close(self) -> None:
        """End all connections."""
        await self._database.close()

"""What stands between one worker and PostgreSQL, and can be cut: packets vanish, or connections are refused."""

import asyncio
import os
import threading


class Proxy:
    """Listens on folder/.s.PGSQL.5432. `cut()` lets nothing through, in either direction, and says nothing;
    `refuse()` ends what there is and accepts no more; `heal()` undoes both: what was held up goes on."""

    def __init__(self, folder, target):
        self.folder, self.target = folder, target
        self.passing = self.server = None
        self.writers = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, daemon=True)
        folder.mkdir()
        os.chmod(folder, 0o755)
        self.thread.start()
        self._do(self._open())

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def _do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    async def _open(self):
        self.passing = asyncio.Event()
        self.passing.set()
        await self._listen()

    async def _listen(self):
        path = self.folder / ".s.PGSQL.5432"
        path.unlink(missing_ok=True)
        self.server = await asyncio.start_unix_server(self._serve, path)

    async def _serve(self, reader, writer):
        try:
            other_reader, other_writer = await asyncio.open_unix_connection(self.target)
        except OSError:
            writer.close()
            return
        ends = {writer, other_writer}
        self.writers |= ends
        await asyncio.gather(self._pass(reader, other_writer), self._pass(other_reader, writer))
        self.writers -= ends

    async def _pass(self, reader, writer):
        try:
            while data := await reader.read(65536):
                await self.passing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    async def _set(self, passing):
        if passing:
            self.passing.set()
        else:
            self.passing.clear()

    async def _refuse(self):
        self.server.close()
        await self.server.wait_closed()
        (self.folder / ".s.PGSQL.5432").unlink(missing_ok=True)
        for writer in list(self.writers):
            writer.transport.abort()

    async def _end(self):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self):
        self._do(self._set(False))

    def refuse(self):
        self._do(self._refuse())

    def heal(self):
        self._do(self._set(True))
        if not self.server.is_serving():
            self._do(self._listen())

    def close(self):
        self.heal()
        self._do(self._refuse())
        self._do(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)

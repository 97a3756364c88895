import { afterEach, beforeEach, expect, test } from 'vitest'
import { EntryChannel } from './entry-batch.ts'
import { append, batchAfter, openLog, read, sync, TempDirectory } from './log-fixture.ts'

let temp: TempDirectory
beforeEach(() => {
  temp = new TempDirectory()
})
afterEach(() => temp.remove())

test('entries over several files are there after a reopening, and read back', async () => {
  const log = openLog(temp.path)
  expect(log.lastIndex).toBe(-1)
  const batches = []
  for (let i = 0; i < 10; i++) {
    const batch = batchAfter(log, 1 + Math.floor(i / 4), [
      { bodyBytes: 100 + i },
      { bodyBytes: 300, channel: i % 5 === 0 ? EntryChannel.CONFIGURATION : 0 },
      { bodyBytes: 0 },
    ])
    batches.push(batch)
    await append(log, batch)
  }
  await sync(log)
  const before = {
    lastIndex: log.lastIndex,
    endPos: log.endPos,
    lastChain: log.lastChain,
    lastTerm: log.lastTerm,
    runs: [...log.termRuns()],
    configurations: [...log.configurationIndexes()],
  }
  expect(before.lastIndex).toBe(29)
  log.close()
  const files = temp.snapshot()
  const again = openLog(temp.path)
  expect({
    lastIndex: again.lastIndex,
    endPos: again.endPos,
    lastChain: again.lastChain,
    lastTerm: again.lastTerm,
    runs: again.termRuns(),
    configurations: again.configurationIndexes(),
  }).toEqual(before)
  expect(again.recovery.cutBytes).toBe(0)
  for (const batch of batches) {
    const found = await read(again, batch.firstIndex, batch.firstIndex + 2, 1 << 20)
    expect(found).toEqual(batch)
  }
  again.close()
  expect(temp.snapshot()).toEqual(files)
  const hinted = openLog(temp.path, {
    durableHint: { index: before.lastIndex, endPos: before.endPos, chain: before.lastChain },
    configurationIndexes: before.configurations,
  })
  expect(hinted.recovery.scannedEntries).toBe(0)
  expect(hinted.termRuns()).toEqual(before.runs)
  hinted.truncateFrom(5)
  expect(hinted.lastIndex).toBe(4)
  hinted.close()
})

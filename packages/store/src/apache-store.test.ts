/**
 * The records of a store that Apache RocketMQ wrote, applied: the ConsumeQueue files must come out equal to Apache's.
 */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { DEFAULT_MESSAGE_DELAY_LEVEL, parseDelayLevels } from '@dledger-ts/protocol'
import type { CommittedEntry } from '@dledger-ts/dledger'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { MemoryMetadata } from './metadata/memory-metadata.ts'
import { close, filesBelow, flush, load, makeCore, TempDirectory } from './testing/fixture.ts'
import { ManualClock } from './testing/manual-clock.ts'

const vectors = new URL('../../../test/vectors/dledger-store/', import.meta.url)
const manifest = JSON.parse(fs.readFileSync(new URL('entries.json', vectors), 'utf8')) as {
  fileBytes: number
  entries: [index: number, term: number, pos: number, size: number, sha1: string][]
}

let temp: TempDirectory
beforeEach(() => {
  temp = new TempDirectory()
})
afterEach(() => temp.remove())

test('applying the records that Apache stored yields the ConsumeQueue files that Apache wrote', async () => {
  const archive = new URL('n1.tar.gz', vectors).pathname
  execFileSync('tar', ['-xzf', archive, '-C', temp.path, 'store/dledger-n1/data', 'store/consumequeue'])
  const data = path.join(temp.path, 'store/dledger-n1/data')
  const core = makeCore({
    directory: path.join(temp.path, 'ours'),
    clock: new ManualClock(),
    metadata: new MemoryMetadata(new ManualClock()),
    consumeQueueFileBytes: 2000,
    fileBytes: manifest.fileBytes,
    delayLevelsMs: parseDelayLevels(DEFAULT_MESSAGE_DELAY_LEVEL),
  })
  await load(core)
  const entries = manifest.entries.map(([index, term, pos, size]): CommittedEntry => {
    const start = pos - (pos % manifest.fileBytes)
    const file = fs.readFileSync(path.join(data, String(start).padStart(20, '0')))
    const body = file.subarray(pos - start + 48, pos - start + size)
    return { index, term, pos, kind: 'data', body }
  })
  core.machine.apply(entries)
  await flush(core, entries.length - 1)
  await close(core)
  const theirs = filesBelow(path.join(temp.path, 'store/consumequeue'))
  expect(theirs.size).toBe(16)
  expect(filesBelow(path.join(temp.path, 'ours/consumequeue'))).toEqual(theirs)
})

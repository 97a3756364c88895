/**
 * The records of a store that Apache RocketMQ wrote, applied: the ConsumeQueue files must come out equal to Apache's.
 */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { decodeRecord, DEFAULT_MESSAGE_DELAY_LEVEL, parseDelayLevels, RecordDraft } from '@dledger-ts/protocol'
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

function recordsOfApache(): CommittedEntry[] {
  const archive = new URL('n1.tar.gz', vectors).pathname
  execFileSync('tar', ['-xzf', archive, '-C', temp.path, 'store/dledger-n1/data', 'store/consumequeue'])
  const data = path.join(temp.path, 'store/dledger-n1/data')
  return manifest.entries.map(([index, term, pos, size]): CommittedEntry => {
    const start = pos - (pos % manifest.fileBytes)
    const file = fs.readFileSync(path.join(data, String(start).padStart(20, '0')))
    const body = file.subarray(pos - start + 48, pos - start + size)
    return { index, term, pos, kind: 'data', body }
  })
}

test('what Apache stored of each kind, decoded and encoded again, is the same bytes', () => {
  const entries = recordsOfApache()
  const kinds = new Set<string>()
  for (const { body } of entries) {
    const record = decodeRecord(body)
    const draft = new RecordDraft(record)
    const target = Buffer.alloc(draft.bytes)
    draft.encode(target, 0, record)
    expect(target.equals(body), `${record.topic} ${record.queueOffset}`).toBe(true)
    kinds.add(`${record.topic} ${record.sysFlag}`)
  }
  // Plain, compressed, committed; half and its end; delayed; again; dead.
  const wanted = ['GoldA 0', 'GoldB 769', 'GoldTx 8', 'RMQ_SYS_TRANS_HALF_TOPIC 0', 'RMQ_SYS_TRANS_OP_HALF_TOPIC 0']
  wanted.push('SCHEDULE_TOPIC_XXXX 0', '%RETRY%GoldCG 0', '%DLQ%GoldCG 0')
  expect([...kinds]).toEqual(expect.arrayContaining(wanted))
})

test('applying the records that Apache stored yields the ConsumeQueue files that Apache wrote', async () => {
  const entries = recordsOfApache()
  const core = makeCore({
    directory: path.join(temp.path, 'ours'),
    clock: new ManualClock(),
    metadata: new MemoryMetadata(new ManualClock()),
    consumeQueueFileBytes: 2000,
    fileBytes: manifest.fileBytes,
    delayLevelsMs: parseDelayLevels(DEFAULT_MESSAGE_DELAY_LEVEL),
  })
  await load(core)
  core.machine.apply(entries)
  await flush(core, entries.length - 1)
  await close(core)
  const theirs = filesBelow(path.join(temp.path, 'store/consumequeue'))
  expect(theirs.size).toBe(16)
  expect(filesBelow(path.join(temp.path, 'ours/consumequeue'))).toEqual(theirs)
})

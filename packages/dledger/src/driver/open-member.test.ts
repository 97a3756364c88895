/** Which directories a member refuses, before it has changed anything. That of a recovering member is none of them. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DEFAULT_SETTINGS } from '../config.ts'
import { nodeDisk } from '../disk/node-disk.ts'
import { type HardState, HardStateFile } from '../hard-state/hard-state-file.ts'
import { append, batchAfter, openLog } from '../log/log-fixture.ts'
import { checkMember, type DirectoryClaim } from './open-member.ts'
import { processOwner } from '../process-owner.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'dledger-open-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

const boot = processOwner().bootId
const stopped: HardState = {
  group: 'g',
  member: 'n0',
  storeId: 'a store',
  term: 3,
  votedFor: null,
  fileBytes: DEFAULT_SETTINGS.fileBytes,
  checksummedFrom: 0,
  bootId: boot,
  asyncAcks: false,
  cleanStop: false,
  recovering: false,
  incarnation: 0,
  durableHint: null,
  beforeFirst: null,
}

function claim(): DirectoryClaim {
  return { disk: nodeDisk, directory, group: 'g', self: 'n0', settings: DEFAULT_SETTINGS, owner: processOwner() }
}

const rows: { name: string; found: Partial<HardState>; refused: RegExp | null }[] = [
  { name: 'a member that was killed', found: {}, refused: null },
  { name: 'asynchronous acknowledgements and a kill', found: { asyncAcks: true }, refused: null },
  {
    name: 'asynchronous acknowledgements and a clean stop before the machine started anew',
    found: { asyncAcks: true, cleanStop: true, bootId: 'another boot' },
    refused: null,
  },
  {
    name: 'asynchronous acknowledgements and a power cut',
    found: { asyncAcks: true, bootId: 'another boot' },
    refused: null,
  },
  { name: 'a power cut with synchronous ones only', found: { bootId: 'another boot' }, refused: null },
  { name: 'another group', found: { group: 'h' }, refused: /belongs to group h, not g/ },
  { name: 'another member', found: { member: 'n1' }, refused: /belongs to member n1, not n0/ },
  { name: 'another file size', found: { fileBytes: 4096 }, refused: /log files of 4096 bytes/ },
]
test.each(rows)('$name', ({ found, refused }) => {
  HardStateFile.createSync(nodeDisk, join(directory, 'hard-state'), { ...stopped, ...found }).closeSync()
  const before = readdirSync(directory)
  if (refused === null) checkMember(claim())
  else expect(() => checkMember(claim())).toThrow(refused)
  expect(readdirSync(directory)).toEqual(before)
})

test('log files without hard state', () => {
  nodeDisk.makeDirectorySync(join(directory, 'data'))
  nodeDisk.openSync(join(directory, 'data', '0'.repeat(20)), { create: true }).closeSync()
  expect(() => checkMember(claim())).toThrow(/holds log files .* but no hard state and no currterm/)
})

test('a hard state that is older than the log', async () => {
  const log = openLog(directory, {
    fileBytes: DEFAULT_SETTINGS.fileBytes,
    indexFileBytes: DEFAULT_SETTINGS.indexFileBytes,
  })
  await append(log, batchAfter(log, 3, [{ bodyBytes: 10 }]))
  await append(log, batchAfter(log, 4, [{ bodyBytes: 10 }]))
  log.close()
  HardStateFile.createSync(nodeDisk, join(directory, 'hard-state'), { ...stopped, term: 4 }).closeSync()
  checkMember(claim())
  rmSync(join(directory, 'hard-state'))
  HardStateFile.createSync(nodeDisk, join(directory, 'hard-state'), { ...stopped, term: 3 }).closeSync()
  expect(() => checkMember(claim())).toThrow(
    /hard-state says term 3, but the log has entries of term 4: .* will not vote/,
  )
})

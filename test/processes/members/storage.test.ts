/**
 * Members as real processes whose storage fails them: a disk that fills up, and files that are damaged while nobody looks.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { seededRandom } from '@dledger-ts/base'
import { describe, expect, test } from 'vitest'
import { untilTrue } from '../group/until.ts'
import { firstDifferenceBefore, readEntries, readFiles } from '../group/log-files.ts'
import { Clients } from './clients.ts'
import { type GroupMember, MemberGroup } from './member-group.ts'
import { whyNoSmallDisk } from './small-disk.ts'

const TIMEOUT_MS = 120_000
const FULL_TIMEOUT_MS = 60_000
const SEED = 11

const noSmallDisk = whyNoSmallDisk()
if (noSmallDisk !== null) console.log(`skipped: ${noSmallDisk}`)

describe('a disk that fills up', { timeout: TIMEOUT_MS }, () => {
  test.skipIf(noSmallDisk !== null)(
    'under the leader costs the group no acknowledged entry, and the others go on',
    async () => {
      await withGroup({ smallDisk: { bytes: 2 * 1024 * 1024, ballastBytes: 512 * 1024 } }, async (group, clients) => {
        const small = group.members.at(-1) as GroupMember
        await group.transferTo(small)
        clients.start()
        await clients.untilAcknowledged(100)
        await untilTrue('its disk is full, and another leads', FULL_TIMEOUT_MS, async () => {
          const leader = await group.leader()
          return leader !== null && leader !== small
        })
        await clients.untilAcknowledged(500)
        const others = group.members.filter((member) => member !== small)
        expect(await clients.finish(others)).toEqual([])
      })
    },
  )
})

describe('a file that was damaged while its member was down', { timeout: TIMEOUT_MS }, () => {
  test('is repaired from the others: it is byte for byte what was appended', async () => {
    await withGroup({}, async (group, clients) => {
      clients.start()
      await clients.untilAcknowledged(400)
      const leader = await group.untilLeader()
      const hurt = group.members.find((member) => member !== leader) as GroupMember
      await hurt.kill()
      await clients.untilAcknowledged(100)
      flipOneBit(hurt)
      await hurt.start()
      await clients.untilAcknowledged(100)
      // All of it is read from everybody by the checker: what was damaged is what was appended again.
      await group.untilWhole()
      expect(await clients.finish()).toEqual([])
      await Promise.all(group.members.map((member) => member.kill()))
      const [repaired, model] = [hurt, leader].map(({ config }) => readFiles(config.directory, 'data'))
      const { end } = readEntries(model as NonNullable<typeof model>)
      expect(
        firstDifferenceBefore(end, repaired as NonNullable<typeof repaired>, model as NonNullable<typeof model>),
      ).toBe(undefined)
    })
  })
})

async function withGroup(
  options: { readonly smallDisk?: { readonly bytes: number; readonly ballastBytes: number } },
  work: (group: MemberGroup, clients: Clients) => Promise<void>,
): Promise<void> {
  const random = seededRandom(SEED)
  const group = await MemberGroup.create({ size: 3, flush: 'SYNC_FLUSH', shadowed: false, random, ...options })
  try {
    await group.start()
    await group.untilLeader()
    await work(group, new Clients(group, seededRandom(SEED + 1)))
  } finally {
    await group.close()
  }
}

/** In the body of an entry in the middle of the log. */
function flipOneBit({ config }: GroupMember): void {
  const files = readFiles(config.directory, 'data')
  const { entries } = readEntries(files)
  const { pos } = entries[Math.floor(entries.length / 2)] as (typeof entries)[number]
  const file = files.findLast(({ name }) => Number(name) <= pos) as (typeof files)[number]
  const at = pos - Number(file.name) + 60
  const fd = openSync(join(config.directory, 'data', file.name), 'r+')
  const byte = Buffer.alloc(1)
  readSync(fd, byte, 0, 1, at)
  byte[0] = (byte[0] as number) ^ 4
  writeSync(fd, byte, 0, 1, at)
  closeSync(fd)
}

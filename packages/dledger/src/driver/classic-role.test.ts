/** A copy that is made the master on a disk that does not take it. */
import { silentLogger, systemClock } from '@dledger-ts/base'
import { afterEach, expect, test } from 'vitest'
import { DLedger } from '../dledger.ts'
import { bodiesOf } from '../testing/loopback-group.ts'
import { untilSeen } from '../testing/until.ts'
import { MemoryNetwork, MemoryTransport } from '../transport/memory.ts'
import type { ClassicRole } from './node-options.ts'
import { HangingDisk } from './testing/hanging-disk.ts'

const small = { fileBytes: 64 * 1024, indexFileBytes: 32 * 1024, zeroFillBytes: 0, tickMs: 10, heartbeatMs: 20 }
const HANG_MS = 1_500

const open = new Set<DLedger>()
afterEach(async () => {
  await Promise.all([...open].map((member) => member.close()))
  open.clear()
})

async function start(self: string, classic: ClassicRole, disk: HangingDisk, network: MemoryNetwork): Promise<DLedger> {
  const transport = new MemoryTransport({ self, network, clock: systemClock, peers: [] })
  const options = { directory: '/m', self, classic, disk, transport, logger: silentLogger, storageHangMs: HANG_MS }
  const member = await DLedger.open({ ...options, ...small, electionTimeoutMs: 250, storageSlowMs: HANG_MS })
  open.add(member)
  return member
}

async function stop(member: DLedger): Promise<void> {
  open.delete(member)
  await member.close()
}

/** A disk with the log of a slave that has all of its master, and is stopped. */
async function copy(): Promise<{ disk: HangingDisk; bodies: string[] }> {
  const network = new MemoryNetwork(systemClock)
  const disk = new HangingDisk()
  const master = await start('n0', 'master', new HangingDisk(), network)
  const slave = await start('s1', 'slave', disk, network)
  await master.addMember({ id: 's1', address: 's1:1', role: 'learner' })
  slave.follow({ id: 'n0', storeId: master.status().storeId, address: 'n0:1' })
  const bodies = ['one', 'two', 'three']
  await master.append(bodies.map((body) => Buffer.from(body)))
  await untilSeen('the slave has all', () => {
    const isBound = master.status().learners.every(({ storeId }) => storeId !== null)
    return isBound && slave.commitIndex === master.lastIndex
  })
  await stop(slave)
  await stop(master)
  return { disk, bodies }
}

const promote = (disk: HangingDisk): Promise<DLedger> => start('s1', 'master', disk, new MemoryNetwork(systemClock))

test.each<[string, (disk: HangingDisk, isIn: boolean) => void, object]>([
  [
    'has no room for the hard state',
    (disk, isIn) => (disk.fullForHardState = isIn),
    { code: 'DISK_FULL', message: expect.stringMatching(/made the master needs room .* the hard state: make room/) },
  ],
  [
    'has no room for the entry',
    (disk, isIn) => (disk.full = isIn),
    { code: 'DISK_FULL', message: expect.stringMatching(/made the master needs room .* the entry that says so/) },
  ],
])('a disk that %s ends the start, and a later one with room goes on', async (_, trouble, error) => {
  const { disk, bodies } = await copy()
  trouble(disk, true)
  await expect(promote(disk)).rejects.toMatchObject(error)
  await expect(promote(disk)).rejects.toMatchObject(error)
  trouble(disk, false)
  const master = await promote(disk)
  expect(await bodiesOf(master)).toEqual(bodies)
  expect(master.status().formers).toHaveLength(1)
  await master.append(Buffer.from('four'))
  expect(await bodiesOf(master)).toEqual([...bodies, 'four'])
})

test('room that comes back in time is used', async () => {
  const { disk } = await copy()
  disk.fullForHardState = true
  const promoted = promote(disk)
  setTimeout(() => (disk.fullForHardState = false), 300)
  expect((await promoted).status().formers).toHaveLength(1)
})

test.each<[string, (disk: HangingDisk) => void]>([
  ['hangs', (disk) => (disk.holdsSyncs = true)],
  ['hangs when the hard state is written', (disk) => (disk.holdsSyncsAfterHardState = true)],
])('a disk that %s ends the start, and what it does later changes nothing', async (_, trouble) => {
  const { disk, bodies } = await copy()
  const promoted = promote(disk)
  // What a start does before is synchronous, but for one sync.
  queueMicrotask(() => trouble(disk))
  await expect(promoted).rejects.toMatchObject({
    code: 'STORAGE_FAILED',
    message: expect.stringMatching(/made the master waits for the disk/),
  })
  // That would not have ended.
  expect(disk.heldUp).toBe(0)
  disk.holdsSyncs = false
  disk.release()
  await untilSeen('the directory is free', () => !disk.existsSync('/m/lock'))
  const master = await promote(disk)
  expect(await bodiesOf(master)).toEqual(bodies)
})

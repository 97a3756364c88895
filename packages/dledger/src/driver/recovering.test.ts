/** Members that come back from a power cut under asynchronous flush: which are recovering, how long, and what ends it. */
import { silentLogger, systemClock } from '@dledger-ts/base'
import { afterEach, expect, test } from 'vitest'
import { DLedger } from '../dledger.ts'
import type { DLedgerOptions } from '../dledger-options.ts'
import { MemoryDisk } from '../disk/memory-disk.ts'
import { type HardState, HardStateFile } from '../hard-state/hard-state-file.ts'
import { MemoryNetwork, MemoryTransport } from '../transport/memory.ts'

const IDS = ['n0', 'n1', 'n2']
const small = { fileBytes: 64 * 1024, indexFileBytes: 32 * 1024, zeroFillBytes: 0 }
const fast = { tickMs: 10, heartbeatMs: 20, electionTimeoutMs: 500 }
const open: DLedger[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((member) => member.close()))
})

function hardState(disk: MemoryDisk): HardState {
  const file = HardStateFile.openSync(disk, '/m/hard-state')
  if (file === null) throw new Error('no hard state')
  file.closeSync()
  return file.state
}

/** As if the machine had gone off while the member ran: nothing was said cleanly, and it is another boot. */
function powerCut(disk: MemoryDisk): void {
  const file = HardStateFile.openSync(disk, '/m/hard-state')
  file?.writeSync({ ...file.state, cleanStop: false, bootId: 'another boot' })
  file?.closeSync()
}

async function start(self: string, disk: MemoryDisk, options: Partial<DLedgerOptions> = {}): Promise<DLedger> {
  const member = await DLedger.open({
    directory: '/m',
    group: 'g',
    self,
    disk,
    logger: silentLogger,
    flushDiskType: 'ASYNC_FLUSH',
    ...small,
    ...fast,
    ...options,
  })
  open.push(member)
  return member
}

function join(self: string, network = new MemoryNetwork(systemClock)): Partial<DLedgerOptions> {
  return { members: IDS, transport: new MemoryTransport({ self, network, clock: systemClock, peers: IDS }) }
}

async function stop(member: DLedger): Promise<void> {
  open.splice(open.indexOf(member), 1)
  await member.close()
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

test('it stays recovering across deaths and clean stops, until a leader has made it whole', async () => {
  const disk = new MemoryDisk()
  await stop(await start('n0', disk, join('n0')))
  powerCut(disk)
  for (let life = 0; life < 3; life++) {
    const alone = await start('n0', disk, join('n0'))
    expect(alone.status().recovering).toBe(true)
    await stop(alone)
    expect(hardState(disk).recovering).toBe(true)
  }
  const network = new MemoryNetwork(systemClock)
  const others = await Promise.all(['n1', 'n2'].map((id) => start(id, new MemoryDisk(), join(id, network))))
  await until('a leader', () => others.some((member) => member.status().ready))
  const back = await start('n0', disk, join('n0', network))
  await until('it is intact', () => !back.status().recovering)
  expect(hardState(disk)).toMatchObject({ recovering: false, asyncAcks: true })
})

test('assumeIntact takes a member for intact', async () => {
  const disk = new MemoryDisk()
  await stop(await start('n0', disk, join('n0')))
  powerCut(disk)
  const member = await start('n0', disk, { ...join('n0'), assumeIntact: true })
  expect(member.status().recovering).toBe(false)
})

test('a lone member has nobody to ask: it starts, leads, and keeps what it has', async () => {
  const disk = new MemoryDisk()
  const first = await start('n0', disk)
  await first.append(Buffer.from('a'))
  await stop(first)
  powerCut(disk)
  const again = await start('n0', disk)
  expect(again.status()).toMatchObject({ ready: true, recovering: false })
  await again.append(Buffer.from('b'))
})

test('a learner beside a lone voter is recovering too: what it acknowledged may be gone, and the voter has it', async () => {
  const network = new MemoryNetwork(systemClock)
  const voter = await start('n0', new MemoryDisk(), { ...join('n0', network), members: ['n0'] })
  const disk = new MemoryDisk()
  const startLearner = (): Promise<DLedger> =>
    start('n1', disk, { ...join('n1', network), members: ['n0'], join: true })
  const learner = await startLearner()
  await voter.addMember({ id: 'n1', role: 'learner' })
  await until('it has what there is', () => learner.appliedIndex === voter.lastIndex)
  await stop(learner)
  powerCut(disk)
  await stop(voter)
  expect((await startLearner()).status()).toMatchObject({ recovering: true, learners: [{ id: 'n1' }] })
})

test('under synchronous flush the mark of asynchronous acknowledgements goes when all is synced', async () => {
  const disk = new MemoryDisk()
  await stop(await start('n0', disk))
  expect(hardState(disk).asyncAcks).toBe(true)
  const member = await start('n0', disk, { flushDiskType: 'SYNC_FLUSH' })
  await until('the mark is gone', () => !hardState(disk).asyncAcks)
  await stop(member)
  powerCut(disk)
  const again = await start('n0', disk, { flushDiskType: 'SYNC_FLUSH', ...join('n0') })
  expect(again.status().recovering).toBe(false)
})

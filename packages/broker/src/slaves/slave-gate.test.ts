/** When a SYNC_MASTER answers: 0, 11 and 12, by what its slaves say. */
import { ResponseCode } from '@dledger-ts/remoting'
import type { Copies, Replica } from '@dledger-ts/store'
import { beforeEach, describe, expect, test } from 'vitest'
import { ManualClock } from '../testing/manual-clock.ts'
import { SlaveGate } from './slave-gate.ts'

const TIMEOUT_MS = 3_000
const GAP_BYTES = 1_000

interface Slave {
  readonly id: string
  isConnected: boolean
  heldIndex: number
  physicalEnd: number
}

/** A master that has committed up to 100, 10 bytes an entry. */
class Master implements Pick<Copies, 'commitIndex' | 'heldBy' | 'slaves' | 'onConnection'> {
  readonly clock = new ManualClock()
  readonly gate: SlaveGate
  readonly members: Slave[] = []
  commitIndex = 100
  #told: () => void = () => {}

  constructor(needed = 1) {
    this.gate = new SlaveGate({
      clock: this.clock,
      needed,
      timeoutMs: TIMEOUT_MS,
      gapBytesMax: GAP_BYTES,
      copies: this,
      replicas: () => Promise.resolve(this.members.map(replicaOf)),
      maxPhysicalOffset: () => this.commitIndex * 10,
    })
  }

  heldBy(count: number): number {
    return this.members.map(({ heldIndex }) => heldIndex).sort((a, b) => b - a)[count - 1] ?? -1
  }

  slaves() {
    return this.members.map((slave) => ({ ...slave, address: null }))
  }

  onConnection(told: () => void): () => void {
    this.#told = told
    return () => {}
  }

  add(id: string, heldIndex: number): Slave {
    const slave = { id, isConnected: true, heldIndex, physicalEnd: heldIndex * 10 }
    this.members.push(slave)
    return slave
  }

  /** The gate has looked at all. */
  async looked(): Promise<void> {
    this.gate.start()
    await Promise.resolve()
    await Promise.resolve()
  }

  connection(slave: Slave, isConnected: boolean): void {
    slave.isConnected = isConnected
    this.#told()
  }

  /** The codes that a send was answered, as they come. */
  send(): number[] {
    const codes: number[] = []
    this.gate.hold({ slavesAnswered: (code) => codes.push(code) })
    return codes
  }
}

function replicaOf({ id, isConnected, physicalEnd }: Slave): Replica {
  return { id, connected: isConnected, advertised: null, inSync: false, physicalEnd }
}

let master: Master
beforeEach(() => {
  master = new Master()
})

describe('a send that is stored', () => {
  test('is answered when a slave has it: not before, and once', async () => {
    const slave = master.add('s1', 100)
    await master.looked()
    master.commitIndex = 101
    const codes = master.send()
    master.gate.answered()
    expect(codes).toEqual([])
    slave.heldIndex = 101
    master.gate.answered()
    master.gate.answered()
    master.clock.advance(2 * TIMEOUT_MS)
    expect(codes).toEqual([ResponseCode.SUCCESS])
  })

  test('is answered with 12 when no slave confirms it in time, in the order in which they came', async () => {
    master.add('s1', 100)
    await master.looked()
    master.commitIndex = 101
    const first = master.send()
    master.clock.advance(TIMEOUT_MS - 1)
    master.commitIndex = 102
    const second = master.send()
    expect([first, second]).toEqual([[], []])
    master.clock.advance(1)
    expect([first, second]).toEqual([[ResponseCode.FLUSH_SLAVE_TIMEOUT], []])
    master.clock.advance(TIMEOUT_MS)
    expect(second).toEqual([ResponseCode.FLUSH_SLAVE_TIMEOUT])
  })

  test('is answered with 11 at once where no slave is connected, or near', async () => {
    await master.looked()
    expect(master.send()).toEqual([ResponseCode.SLAVE_NOT_AVAILABLE])
    const far = new Master()
    far.commitIndex = 1_000
    far.add('s1', 1_000 - GAP_BYTES / 10)
    await far.looked()
    expect(far.send()).toEqual([ResponseCode.SLAVE_NOT_AVAILABLE])
    const gone = new Master()
    const slave = gone.add('s1', 99)
    await gone.looked()
    expect(gone.send()).toEqual([])
    gone.connection(slave, false)
    expect(gone.send()).toEqual([ResponseCode.SLAVE_NOT_AVAILABLE])
  })

  test('waits for a slave that came just now and has all', async () => {
    await master.looked()
    const slave = master.add('s1', 100)
    master.gate.answered()
    master.commitIndex = 101
    const codes = master.send()
    expect(codes).toEqual([])
    slave.heldIndex = 101
    master.gate.answered()
    expect(codes).toEqual([ResponseCode.SUCCESS])
  })

  test('waits for as many slaves as are wanted', async () => {
    const two = new Master(2)
    const first = two.add('s1', 100)
    await two.looked()
    two.commitIndex = 101
    expect(two.send()).toEqual([ResponseCode.SLAVE_NOT_AVAILABLE])
    const second = two.add('s2', 100)
    two.gate.answered()
    const codes = two.send()
    first.heldIndex = 101
    two.gate.answered()
    expect(codes).toEqual([])
    second.heldIndex = 101
    two.gate.answered()
    expect(codes).toEqual([ResponseCode.SUCCESS])
  })

  test('that waits when the broker stops is answered with 12', async () => {
    master.add('s1', 100)
    await master.looked()
    master.commitIndex = 101
    const codes = master.send()
    master.gate.close()
    expect(codes).toEqual([ResponseCode.FLUSH_SLAVE_TIMEOUT])
  })
})

/**
 * What a store derives from its log, through kills and power cuts at any moment: a reader gets exactly the messages of the log.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ProcessDied } from './sim-disk.ts'
import { type GivenState, Machine, QUEUES } from './store-on-drive.ts'

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('put' as const),
      queue: fc.nat(QUEUES - 1),
      count: fc.integer({ min: 1, max: 60 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(1, 900, 1_100, 5_000, 61_000) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('kill' as const, 'power' as const), keptBatches: fc.nat(30) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('read' as const), queue: fc.nat(QUEUES - 1) }) },
)

describe('a store on a drive that loses what is not synced', () => {
  test('gives exactly the messages of its log, whatever kills and power cuts came', () => {
    fc.assert(
      fc.property(fc.nat(), fc.array(step, { minLength: 4, maxLength: 30 }), (seed, steps) => {
        const machine = new Machine(seed)
        machine.start()
        for (const each of steps) {
          if (each.kind === 'put') {
            for (let i = 0; i < each.count; i++) machine.log.add(each.queue)
            machine.apply()
          } else if (each.kind === 'pass') {
            machine.run(each.ms)
          } else if (each.kind === 'read') {
            expect(machine.read(each.queue)).toEqual(machine.log.bodies[each.queue])
          } else {
            machine.die(each.kind, each.keptBatches)
          }
        }
        machine.die('power', 30)
        for (let queue = 0; queue < QUEUES; queue++) expect(machine.read(queue)).toEqual(machine.log.bodies[queue])
        expect(machine.failures).toEqual([])
      }),
      { numRuns: 150 },
    )
  })
})

/** A life in which everything is written that a store writes. */
interface Life {
  readonly name: string
  /** Before the power may go. */
  readonly before?: (machine: Machine) => void
  /** @param state of a member that was not away. */
  readonly live: (machine: Machine, state: GivenState) => void
}

function put(machine: Machine, count: number): void {
  for (let i = 0; i < count; i++) machine.log.add(i % QUEUES)
  machine.apply()
}

function putAndWrite(machine: Machine): void {
  put(machine, 40)
  machine.run(1_100)
  put(machine, 25)
  machine.run(1_100)
}

async function stateOfAnother(machine: Machine): Promise<GivenState> {
  const other = new Machine(1, machine.log)
  other.start()
  other.run(62_000)
  return other.snapshot()
}

const NO_STATE: GivenState = { index: -1, bytes: Buffer.alloc(0) }

const LIVES: readonly Life[] = [
  {
    name: 'writes behind, syncs, writes on',
    live: (machine) => {
      putAndWrite(machine)
      machine.run(61_000)
      putAndWrite(machine)
    },
  },
  {
    name: 'builds everything again',
    before: (machine) => {
      putAndWrite(machine)
      machine.run(61_000)
    },
    live: (machine) => {
      machine.loseDerived()
      machine.run(2_000)
      put(machine, 5)
      machine.run(61_000)
    },
  },
  {
    name: 'forgets the head of its log',
    before: (machine) => {
      putAndWrite(machine)
      machine.run(61_000)
    },
    live: (machine) => {
      machine.trim()
      machine.run(2_000)
      putAndWrite(machine)
      machine.run(61_000)
      machine.trim()
      machine.run(61_000)
    },
  },
  {
    name: 'is given the state of another member',
    before: (machine) => {
      putAndWrite(machine)
      machine.run(61_000)
      // It is away meanwhile.
      for (let i = 0; i < 30; i++) machine.log.add(i % QUEUES)
    },
    live: (machine, state) => {
      machine.restore(state)
      machine.run(2_000)
      put(machine, 5)
      machine.run(61_000)
    },
  },
]

describe('a store whose power is cut', () => {
  test.each(LIVES)('at any of its writes while it $name', { timeout: 280_000 }, async ({ before, live }) => {
    const begun = (): Machine => {
      const machine = new Machine(7)
      machine.start()
      before?.(machine)
      return machine
    }
    const whole = begun()
    const first = whole.effects + 1
    const state = before === undefined ? NO_STATE : await stateOfAnother(whole)
    live(whole, state)
    const last = whole.effects
    expect(last - first).toBeGreaterThan(20)
    for (let effect = first; effect <= last; effect++) {
      const machine = begun()
      machine.diesAt = effect
      try {
        live(machine, state)
      } catch (error) {
        if (!(error instanceof ProcessDied)) throw error
      }
      machine.diesAt = Number.POSITIVE_INFINITY
      // Of the batches that are not synced so many are kept.
      machine.die('power', effect % 4)
      for (let queue = 0; queue < QUEUES; queue++)
        expect(machine.read(queue), `effect ${effect}`).toEqual(machine.log.kept(queue))
      machine.run(61_000)
      machine.die('kill', 0)
      for (let queue = 0; queue < QUEUES; queue++)
        expect(machine.read(queue), `effect ${effect}, again`).toEqual(machine.log.kept(queue))
      expect(machine.failures.filter((error) => !(error instanceof ProcessDied))).toEqual([])
    }
  })
})

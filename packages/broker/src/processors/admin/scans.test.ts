/** Scans of many queues: in turn, a few at once, and with room for everything else. */
import { StoreError } from '@dledger-ts/store'
import { describe, expect, test } from 'vitest'
import { ManualClock } from '../../testing/manual-clock.ts'
import { Scans } from './scans.ts'

const NO_STORE = { storeTimeAt: () => Promise.resolve(-1) }

async function passes(clock: ManualClock): Promise<number> {
  let count = 0
  for (let idle = 0; idle < 50; idle++) {
    await Promise.resolve()
    if (!clock.hasDeferred) continue
    clock.runDeferred()
    count++
    idle = 0
  }
  return count
}

describe('a scan', () => {
  test('gives what its visits return in order, and lets the event loop go round every few milliseconds', async () => {
    const clock = new ManualClock()
    const scans = new Scans(clock, NO_STORE)
    let done: number[] = []
    const run = scans.run(1_000, (i) => {
      clock.spend(1)
      return Promise.resolve(i * 2)
    })
    void run.then((found) => (done = found))
    // A pass ends after 5 ms; visits that are under way then end with it.
    expect(await passes(clock)).toBeGreaterThan(1_000 / 25)
    expect(done).toEqual(Array.from({ length: 1_000 }, (_, i) => i * 2))
  })

  test('waits until one of two that are at work has ended, also when that failed', async () => {
    const scans = new Scans(new ManualClock(), NO_STORE)
    const begun: string[] = []
    const ends = new Map<string, (error?: Error) => void>()
    const begin = (name: string) =>
      scans.run(1, () => {
        begun.push(name)
        return new Promise<void>((resolve, reject) => {
          ends.set(name, (error) => (error === undefined ? resolve() : reject(error)))
        })
      })
    const [first, second, third] = [begin('first'), begin('second'), begin('third')]
    await Promise.resolve()
    expect(begun).toEqual(['first', 'second'])
    ends.get('first')?.(new Error('failed'))
    await expect(first).rejects.toThrow('failed')
    await new Promise((resolve) => setImmediate(resolve))
    expect(begun).toEqual(['first', 'second', 'third'])
    ends.get('second')?.()
    ends.get('third')?.()
    await Promise.all([second, third])
  })

  test('a damaged message has no time and hides no queue; a closed store is told', async () => {
    const errors = {
      CORRUPT: new StoreError('damaged', { code: 'CORRUPT', what: 'damaged', physicalOffset: 1 }),
      CLOSED: new StoreError('closed', { code: 'CLOSED' }),
    }
    const failing = (error: StoreError) => new Scans(new ManualClock(), { storeTimeAt: () => Promise.reject(error) })
    expect(await failing(errors.CORRUPT).storeTime('T', 0, 5)).toBe(0)
    await expect(failing(errors.CLOSED).storeTime('T', 0, 5)).rejects.toThrow('closed')
    expect(await failing(errors.CLOSED).storeTime('T', 0, -1)).toBe(0)
  })
})

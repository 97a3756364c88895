import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FairQueue, Flow, TURN_BYTES } from './fair-queue.ts'

interface Frame {
  readonly bytes: number
  readonly number: number
}

class Group extends Flow<Frame> {
  readonly name: string
  taken = 0
  #pushed = 0
  #popped = 0

  constructor(name: string) {
    super()
    this.name = name
  }

  next(bytes: number): Frame {
    return { bytes, number: this.#pushed++ }
  }

  popped({ bytes, number }: Frame): void {
    expect(number).toBe(this.#popped++)
    this.taken += bytes
  }
}

function take(queue: FairQueue<Group, Frame>): Group {
  const group = queue.next() as Group
  group.popped(queue.take(group))
  return group
}

describe('the queue of many groups', () => {
  it('gives groups that all wait the same bytes, whatever the size of their frames', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 1_000_000 }), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(fc.array(sizes, { minLength: 2, maxLength: 6 }), (cycles) => {
        const queue = new FairQueue<Group, Frame>()
        const groups = cycles.map((_, i) => new Group(String(i)))
        const refill = (): void =>
          groups.forEach((group, i) => {
            const cycle = cycles[i] as number[]
            while (group.frames.length < 3) for (const bytes of cycle) queue.push(group, group.next(bytes))
          })
        const largest = Math.max(...cycles.flat())
        for (let i = 0; i < 300; i++) {
          refill()
          take(queue)
          const taken = groups.map((group) => group.taken)
          expect(Math.max(...taken) - Math.min(...taken)).toBeLessThanOrEqual(2 * (TURN_BYTES + largest))
        }
      }),
    )
  })

  it('lets a small frame pass a busy group after one turn at most', () => {
    const queue = new FairQueue<Group, Frame>()
    const busy = new Group('busy')
    const quiet = new Group('quiet')
    for (let i = 0; i < 1_000; i++) queue.push(busy, busy.next(16 * 1024))
    take(queue)
    queue.push(quiet, quiet.next(100))
    let before = 0
    while (take(queue) === busy) before++
    expect(before * 16 * 1024).toBeLessThanOrEqual(TURN_BYTES)
  })

  it('keeps no credit for a group that has nothing to send', () => {
    const queue = new FairQueue<Group, Frame>()
    const group = new Group('a')
    queue.push(group, group.next(10))
    take(queue)
    expect([group.credit, group.bytes, queue.isEmpty, queue.next()]).toEqual([0, 0, true, null])
  })

  it('drops what one group has waiting and nothing else', () => {
    const queue = new FairQueue<Group, Frame>()
    const [a, b] = [new Group('a'), new Group('b')]
    for (let i = 0; i < 3; i++) for (const group of [a, b]) queue.push(group, group.next(1_000))
    expect(queue.drop(a)).toBe(3)
    expect(queue.drop(a)).toBe(0)
    expect([take(queue), take(queue), take(queue)]).toEqual([b, b, b])
    expect(queue.isEmpty).toBe(true)
  })
})

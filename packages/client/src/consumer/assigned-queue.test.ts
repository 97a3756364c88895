/** What may be committed while messages are consumed in any order. */
import { hostAddress } from '@dledger-ts/protocol'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AssignedQueue } from './assigned-queue.ts'
import { ReceivedMessage } from './received-message.ts'

function received(queueOffset: number): ReceivedMessage {
  const host = hostAddress('127.0.0.1', 1)
  const place = { queueId: 0, queueOffset, physicalOffset: queueOffset, storeTimestamp: 1, bornTimestamp: 1 }
  const rest = { flag: 0, sysFlag: 0, reconsumeTimes: 0, preparedTransactionOffset: 0, bodyCrc: 0, totalSize: 100 }
  return new ReceivedMessage('b', {
    ...place,
    ...rest,
    bornHost: host,
    storeHost: host,
    topic: 'T',
    body: Buffer.from('x'),
    properties: '',
  })
}

describe('an assigned queue', () => {
  it('commits up to the first message that is not consumed', () => {
    const queue = new AssignedQueue({ brokerName: 'b', queueId: 0, topic: 'T' }, 10, 10)
    expect(queue.committableOffset).toBe(10)
    const [a, b, c] = queue.received([received(10), received(12), received(13)], 20)
    expect([queue.committableOffset, queue.cachedCount, queue.cachedBytes]).toEqual([10, 3, 300])
    queue.consumed(b!)
    expect([queue.committableOffset, queue.cachedCount, queue.cachedBytes]).toEqual([10, 3, 200])
    queue.consumed(a!)
    expect([queue.committableOffset, queue.cachedCount]).toEqual([13, 1])
    queue.consumed(c!)
    // Everything received is consumed; what was filtered out in between counts as well.
    expect([queue.committableOffset, queue.cachedCount, queue.cachedBytes]).toEqual([20, 0, 0])
  })

  it('keeps no message that is consumed, wherever those before it stand', () => {
    const queue = new AssignedQueue({ brokerName: 'b', queueId: 0, topic: 'T' }, 0, 0)
    const [a, b] = queue.received([received(0), received(1)], 2)
    queue.consumed(b!)
    expect(() => b!.message).toThrow('consumed')
    expect(a!.message.queueOffset).toBe(0)
  })

  it('never commits a message that is not consumed, and never goes back', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1_000_000), { maxLength: 4_000 }), (choices) => {
        const queue = new AssignedQueue({ brokerName: 'b', queueId: 0, topic: 'T' }, 0, 0)
        const open = []
        let offset = 0
        let before = 0
        for (const choice of choices) {
          if (choice % 2 === 0 || open.length === 0) {
            open.push(...queue.received([received(offset)], offset + 1))
            offset++
          } else {
            const [one] = open.splice(choice % open.length, 1)
            queue.consumed(one!)
          }
          const least = open.reduce((min, { queueOffset }) => Math.min(min, queueOffset), offset)
          expect(queue.committableOffset).toBe(least)
          expect(queue.committableOffset).toBeGreaterThanOrEqual(before)
          before = queue.committableOffset
        }
      }),
      { numRuns: 30 },
    )
  })
})

/** Tables of very many groups: refused where no frame has room for them, and read with room for everything else. */
import { type Connection, createRequest, type RemotingCommand, RequestCode } from '@dledger-ts/remoting'
import { expect, test } from 'vitest'
import type { BrokerContext } from '../../context.ts'
import { ManualClock } from '../../testing/manual-clock.ts'
import { offsetResetProcessors } from '../offset-resets.ts'
import { Scans } from './scans.ts'
import { tableProcessors } from './tables.ts'

const GROUPS = 200

/** A broker whose groups each stand at their number in a topic; its visits take a millisecond. */
function brokerOf(topic: string) {
  const clock = new ManualClock()
  const visited: string[] = []
  const store = {
    dataVersion: () => ({ stateVersion: 0, timestamp: 0, counter: 0 }),
    groupsWithOffsets: () => Array.from({ length: GROUPS }, (_, i) => `${i}`),
    consumerOffsets: (group: string) => {
      visited.push(group)
      clock.spend(1)
      return new Map([[topic, new Map([[0, Number(group) + 5]])]])
    },
    minOffset: () => 0,
  }
  const context = { clock, store, config: {}, consumers: {}, topics: {}, groups: {} } as unknown as BrokerContext
  const scans = new Scans(clock, context.store)
  const processors = new Map([...tableProcessors(context, scans), ...offsetResetProcessors(context, () => undefined)])
  const ask = async (code: number, extFields = {}): Promise<RemotingCommand> => {
    const answer = processors.get(code)?.handle(null as unknown as Connection, createRequest(code, extFields))
    expect(visited.length).toBeLessThan(GROUPS / 2)
    for (let idle = 0; idle < 50; idle++) {
      await Promise.resolve()
      if (!clock.hasDeferred) continue
      clock.runDeferred()
      idle = 0
    }
    return answer as Promise<RemotingCommand>
  }
  return { ask, visited }
}

test('all offsets that no frame has room for are refused, and are not gathered to the end', async () => {
  const { ask, visited } = brokerOf('T'.repeat(500_000))
  const { code, remark } = await ask(RequestCode.GET_ALL_CONSUMER_OFFSET)
  expect([code, remark]).toEqual([
    1,
    expect.stringMatching(/^the answer has more than \d+ bytes, and no frame has room/),
  ])
  expect(visited.length).toBeLessThan(GROUPS / 2)
})

test('where a group may go on is looked up with room for everything else', async () => {
  const fields = { filterGroups: '0,1', compareGroup: '7', topic: 'T' }
  const { code, bodyBytes } = await brokerOf('T').ask(RequestCode.QUERY_CORRECTION_OFFSET, fields)
  expect([code, bodyBytes.toString()]).toEqual([0, '{"correctionOffsets":{"0":7}}'])
})

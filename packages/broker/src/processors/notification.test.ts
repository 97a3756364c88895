/** A notification that was woken where the store does not know what it asks for. */
import { type Connection, createRequest, type RemotingCommand, RequestCode, ResponseCode } from '@dledger-ts/remoting'
import { StoreError } from '@dledger-ts/store'
import { expect, it } from 'vitest'
import type { BrokerContext } from '../context.ts'
import type { PopQueues } from '../pop/pop-queues.ts'
import { Notification, NotificationProcessor } from './notification.ts'

it('is refused, where the one that wakes it would be the last to hear of it', () => {
  const context = {
    config: { brokerPermission: 6 },
    store: { isReady: () => false, forbidden: () => 0 },
    retryOnLeader: () => false,
    topics: { find: () => ({ perm: 6, readQueueNums: 1 }) },
    groups: { findOrCreate: () => ({ consumeEnable: true }) },
    clock: { nowMs: () => 0 },
  } as unknown as BrokerContext
  const queues = {
    inOrder: () => [{ topic: 'T', queueId: 0 }],
    rest: () => {
      throw new StoreError('a state is taken in', { code: 'REBUILDING' })
    },
  } as unknown as PopQueues
  const answers: RemotingCommand[] = []
  const connection = { respond: (_: unknown, answer: RemotingCommand) => void answers.push(answer) }
  const header = { consumerGroup: 'g', topic: 'T', queueId: 0, pollTime: 0, bornTime: 0, order: false }
  const request = createRequest(RequestCode.NOTIFICATION, {})
  const waiting = new Notification(connection as unknown as Connection, request, header, 0)
  new NotificationProcessor(context, queues).resume(waiting)
  expect(answers.map(({ code }) => code)).toEqual([ResponseCode.SERVICE_NOT_AVAILABLE])
})

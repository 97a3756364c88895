/** Whom a relay keeps in mind. */
import { encodeProperties } from '@dledger-ts/protocol'
import { type Connection, createRequest, RequestCode, type SendMessageRequest } from '@dledger-ts/remoting'
import { expect, it } from 'vitest'
import { ProducerTable } from '../client-manager/producer-table.ts'
import type { BrokerContext } from '../context.ts'
import { ReplyRelay } from './reply.ts'

it('is whoever asks, while it is there: a connection may close before the topic of its message is made', () => {
  const producers = new ProducerTable<Connection>()
  const relay = new ReplyRelay({ producers } as unknown as BrokerContext)
  const properties = encodeProperties([['REPLY_TO_CLIENT', 'asker']])
  const note = (connection: Connection): void => {
    const request = createRequest(RequestCode.SEND_MESSAGE_V2, {})
    relay.noteRequester(connection, request, { topic: 'T', properties } as SendMessageRequest)
  }
  note({ isClosed: true } as unknown as Connection)
  expect(producers.channelOf('asker')).toBeUndefined()
  const open = { isClosed: false } as unknown as Connection
  note(open)
  expect(producers.channelOf('asker')).toBe(open)
})

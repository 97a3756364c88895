/**
 * More than a broker can take, all at once and over many connections: sends, queries, and clients that ask for messages and take none.
 *
 * Nothing is repeated: what becomes of each request is counted by the code of its answer.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import {
  createRequest,
  encodeFrames,
  type ExtFields,
  RemotingClient,
  RemotingError,
  type RemotingCommand,
  RequestCode,
} from '@dledger-ts/remoting'
import { pullFields } from '../group/pull-fields.ts'

const ANSWER_MS = 60_000
/** Bodies of sends and so, about, of messages that pulls are answered with. */
export const BODY_BYTES = 128 * 1024
/** The last clients that do not repeat what is refused as busy, and newer ones. */
export const OLD_VERSION = 409
export const NEW_VERSION = 479

const BUSY = '2'
const BUSY_FOR_OLD = '14'

/** How many answers had which code; `none` where there was none. */
export type Codes = Record<string, number>

export interface FloodOptions {
  readonly address: string
  readonly topic: string
  readonly queueCount: number
}

export class Flood {
  readonly #options: FloodOptions
  readonly #clients: RemotingClient[] = []
  readonly #slow: Socket[] = []
  /** Answers so far that said busy. */
  busy = 0

  constructor(options: FloodOptions) {
    this.#options = options
  }

  /** So many sends over each of so many connections, none waiting for another. */
  async sends(how: { connections: number; each: number; version: number }): Promise<Codes> {
    const { topic, queueCount } = this.#options
    const body = Buffer.alloc(BODY_BYTES, 'x')
    return this.#ask(how, (i) => createRequest(RequestCode.SEND_MESSAGE_V2, sendFields(topic, i % queueCount), body))
  }

  /** Sends of one message each to topics that are not there. */
  async newTopics(how: { connections: number; each: number; version: number }): Promise<Codes> {
    const body = Buffer.from('first')
    return this.#ask(how, (i) => createRequest(RequestCode.SEND_MESSAGE_V2, sendFields(`Flooded${i}`, 0), body))
  }

  async queries(how: { connections: number; each: number; version: number }): Promise<Codes> {
    const { topic } = this.#options
    const endTimestamp = String(Number.MAX_SAFE_INTEGER)
    const fields: ExtFields = { topic, key: 'KEY', maxNum: '8', beginTimestamp: '0', endTimestamp }
    return this.#ask(how, () => createRequest(RequestCode.QUERY_MESSAGE, fields))
  }

  /** Clients that ask for the same messages again and again and read no answer. They stay until `close`. */
  async slowReaders(how: { connections: number; each: number }): Promise<void> {
    const { topic, queueCount, address } = this.#options
    const [host = '', port = ''] = address.split(':')
    for (let c = 0; c < how.connections; c++) {
      const socket = connect({ host, port: Number(port) })
      await once(socket, 'connect')
      socket.pause()
      // The broker may close it.
      socket.on('error', () => {})
      this.#slow.push(socket)
      const pulls = Array.from({ length: how.each }, (_, i) => {
        const fields = pullFields({ consumerGroup: 'flood', topic, queueId: i % queueCount })
        const request = createRequest(RequestCode.PULL_MESSAGE, fields)
        request.opaque = i
        return request
      })
      socket.write(Buffer.concat(encodeFrames(pulls)))
    }
  }

  close(): void {
    for (const client of this.#clients) client.close()
    for (const socket of this.#slow) socket.destroy()
  }

  async #ask(
    { connections, each, version }: { connections: number; each: number; version: number },
    request: (i: number) => RemotingCommand,
  ): Promise<Codes> {
    const codes: Codes = {}
    const asked: Promise<void>[] = []
    for (let c = 0; c < connections; c++) {
      const client = new RemotingClient()
      this.#clients.push(client)
      for (let i = 0; i < each; i++) {
        const command = request(c * each + i)
        command.version = version
        asked.push(this.#count(client, command, codes))
      }
    }
    await Promise.all(asked)
    return codes
  }

  async #count(client: RemotingClient, request: RemotingCommand, codes: Codes): Promise<void> {
    let code: string
    try {
      code = String((await client.invoke(this.#options.address, request, ANSWER_MS)).code)
    } catch (error) {
      if (!(error instanceof RemotingError)) throw error
      code = 'none'
    }
    if (code === BUSY || code === BUSY_FOR_OLD) this.busy++
    codes[code] = (codes[code] ?? 0) + 1
  }
}

function sendFields(topic: string, queueId: number): ExtFields {
  const properties = 'KEYS\u0001KEY\u0002'
  const settings = { c: 'TBW102', d: '1', f: '0', g: String(Date.now()), h: '0', j: '0', k: 'false', m: 'false' }
  return { a: 'flood', b: topic, e: String(queueId), i: properties, ...settings }
}

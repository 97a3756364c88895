/**
 * Clients of the simulated brokers: real frames over simulated sockets.
 *
 * Keeps: a request is answered, lost with its connection, or given up after `ANSWER_TIMEOUT_MS`; each is told once.
 */
import {
  type Connection,
  createRequest,
  type ProcessorTable,
  RemotingClient,
  type RemotingCommand,
  type RemotingError,
  RequestCode,
} from '@dledger-ts/remoting'
import type { Request } from './requests.ts'
import type { BrokerMember, World } from './world.ts'

/** As the clients of Apache do. */
const ANSWER_TIMEOUT_MS = 3_000

export interface Told {
  answered(answer: RemotingCommand): void
  /** Nobody knows whether the request was done. */
  lost(error: RemotingError): void
}

export class Client {
  readonly name: string
  readonly #remoting: RemotingClient
  /** Requests without an answer yet. */
  pending = 0

  /** @param asked gets the questions for half messages, with the address of who asks. */
  constructor(name: string, world: World, asked: (question: RemotingCommand, address: string) => void = () => {}) {
    this.name = name
    const processors: ProcessorTable = new Map([
      [
        RequestCode.CHECK_TRANSACTION_STATE,
        (connection: Connection, request: RemotingCommand): undefined => {
          asked(request, connection.remoteAddress)
        },
      ],
    ])
    const sockets = world.net.socketsOf(world.clients)
    this.#remoting = new RemotingClient({ clock: world.clientClock(), sockets, processors })
  }

  ask(member: BrokerMember, { code, fields, body }: Request, told: Told): void {
    const request = createRequest(code, fields, body)
    request.version = 479
    this.pending++
    this.#remoting.invokeCallback(member.address, request, ANSWER_TIMEOUT_MS, {
      responded: (answer) => {
        this.pending--
        told.answered(answer)
      },
      failed: (error) => {
        this.pending--
        told.lost(error)
      },
    })
  }
}

/**
 * Where the master of a broker's name is, by the name servers, and what it says of a log.
 *
 * Keeps:
 *   - asks one after another, each for a limited time; what cannot be asked is as if it were not there;
 *   - with credentials, so is what does not prove that it has the same: whoever is listed as a master by a name server is believed nothing.
 */
import { type Clock, type Logger } from '@dledger-ts/base'
import {
  type Credentials,
  createRequest,
  decodeClusterInfo,
  JoinAsSlaveRequest,
  JoinAsSlaveResponse,
  RemotingClient,
  RequestCode,
  ResponseCode,
  type Sockets,
} from '@dledger-ts/remoting'
import type { CopyStanding } from '@dledger-ts/store'
import { JoinSeal } from './join-seal.ts'

const ANSWER_TIMEOUT_MS = 3_000
/** Tried every second: the same fault is told so often, another one of the same place this often. */
const SAME_FAULT_MS = 600_000
const OTHER_FAULT_MS = 5_000
/** Places whose faults are remembered. */
const PLACES_MAX = 64

export interface MastersOptions {
  readonly brokerName: string
  /** Of this broker: it is never its own master. */
  readonly ownAddress: string
  readonly namesrvAddresses: readonly string[]
  readonly clock: Clock
  readonly logger: Logger
  readonly sockets: Sockets
  /** With them requests are signed and sealed, and answers have to be. */
  readonly credentials: Credentials | null
}

export interface MasterAnswer {
  /** FITS, PARTED, AHEAD, FOREIGN or REPLACED; see JoinAsSlaveResponse. */
  readonly verdict: string
  readonly lastIndex: number
  readonly memberId: string
  readonly storeId: string
  readonly haAddress: string
  /** Where it serves clients. */
  readonly address: string
}

export class Masters {
  readonly #options: MastersOptions
  readonly #client: RemotingClient
  readonly #seal: JoinSeal | null
  /** What was told of a place last, and when. */
  readonly #told = new Map<string, { readonly fault: string; readonly atMs: number }>()

  constructor(options: MastersOptions) {
    this.#options = options
    const { clock, logger, sockets, credentials } = options
    this.#seal = credentials === null ? null : new JoinSeal(credentials)
    this.#client = new RemotingClient({ clock, logger, sockets, ...(credentials === null ? {} : { credentials }) })
  }

  /** @returns the addresses that name servers list as the master, without this broker's own. */
  async find(): Promise<readonly string[]> {
    const found = new Set<string>()
    const { namesrvAddresses, brokerName, ownAddress } = this.#options
    for (const namesrv of namesrvAddresses) {
      try {
        const request = createRequest(RequestCode.GET_BROKER_CLUSTER_INFO)
        const response = await this.#client.invoke(namesrv, request, ANSWER_TIMEOUT_MS)
        if (response.code !== ResponseCode.SUCCESS) throw new Error(response.remark ?? `code ${response.code}`)
        const address = decodeClusterInfo(response.bodyBytes).brokerAddrTable.get(brokerName)?.brokerAddrs.get(0)
        if (address !== undefined && address !== ownAddress) found.add(address)
      } catch (error) {
        this.#tell(`the name server ${namesrv} does not say who the master of ${brokerName} is`, error)
      }
    }
    return [...found]
  }

  /** @param haAddress where this broker is reached by its master, to be let in; null only to ask. @returns null where there is no answer. */
  async ask(address: string, copy: CopyStanding, haAddress: string | null): Promise<MasterAnswer | null> {
    const { brokerName } = this.#options
    const { id, storeId, masterStore, isGuessed: _, ...ends } = copy
    const plain: JoinAsSlaveRequest = {
      brokerName,
      memberId: id,
      storeId,
      masterStore: masterStore ?? undefined,
      ...ends,
      haAddress: haAddress ?? undefined,
    }
    const asked = this.#seal?.sealRequest(plain) ?? plain
    try {
      const response = await this.#client.invoke(address, JoinAsSlaveRequest.request(asked), ANSWER_TIMEOUT_MS)
      if (response.code !== ResponseCode.SUCCESS) throw new Error(response.remark ?? `code ${response.code}`)
      const { seal: _, ...answer } = this.#proven(asked, JoinAsSlaveResponse.decode(response.extFields))
      return { ...answer, address }
    } catch (error) {
      this.#tell(
        `${address}, listed as the master of ${brokerName}, does not say whether its log and this one fit`,
        error,
      )
      return null
    }
  }

  close(): void {
    this.#client.close()
  }

  /** @throws Error where the answer should be sealed, and is not. */
  #proven(asked: JoinAsSlaveRequest, answer: JoinAsSlaveResponse): JoinAsSlaveResponse {
    if (this.#seal === null || this.#seal.isAnswer(asked, answer)) return answer
    const why =
      answer.seal === undefined
        ? 'it has no innerClientAuthenticationCredentials, which this broker has'
        : 'it has other innerClientAuthenticationCredentials than this broker'
    throw new Error(`${why}, or is none of the brokers; nothing that it says is believed`)
  }

  #tell(what: string, error: unknown): void {
    const { clock, logger } = this.#options
    const fault = error instanceof Error ? error.message : String(error)
    const before = this.#told.get(what)
    const atMs = clock.monotonicMs()
    if (before !== undefined && atMs - before.atMs < (before.fault === fault ? SAME_FAULT_MS : OTHER_FAULT_MS)) return
    this.#told.delete(what)
    const [oldest] = this.#told.keys()
    if (oldest !== undefined && this.#told.size >= PLACES_MAX) this.#told.delete(oldest)
    this.#told.set(what, { fault, atMs })
    logger.warn({}, `${what}: ${fault}`)
  }
}

/**
 * Where the master of a broker's name is, by the name servers, and what it says of a log.
 *
 * Keeps: asks one after another, each for a limited time; what cannot be asked is as if it were not there.
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

const ANSWER_TIMEOUT_MS = 3_000

export interface MastersOptions {
  readonly brokerName: string
  /** Of this broker: it is never its own master. */
  readonly ownAddress: string
  readonly namesrvAddresses: readonly string[]
  readonly clock: Clock
  readonly logger: Logger
  readonly sockets: Sockets
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
  #lastFault = ''

  constructor(options: MastersOptions) {
    this.#options = options
    const { clock, logger, sockets, credentials } = options
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
    const { id, storeId, masterStore, ...ends } = copy
    const request = JoinAsSlaveRequest.request({
      brokerName,
      memberId: id,
      storeId,
      masterStore: masterStore ?? undefined,
      ...ends,
      haAddress: haAddress ?? undefined,
    })
    try {
      const response = await this.#client.invoke(address, request, ANSWER_TIMEOUT_MS)
      if (response.code !== ResponseCode.SUCCESS) throw new Error(response.remark ?? `code ${response.code}`)
      return { ...JoinAsSlaveResponse.decode(response.extFields), address }
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

  /** Tried every second: the same fault is told once. */
  #tell(what: string, error: unknown): void {
    const fault = `${what}: ${error instanceof Error ? error.message : String(error)}`
    if (fault === this.#lastFault) return
    this.#lastFault = fault
    this.#options.logger.warn({}, fault)
  }
}

/**
 * Whether a request may be done: who sent it, and what that user may do.
 *
 * Keeps:
 *   A1  a request is checked where it is done, against the state there: one that a follower passes on by the leader, as its sender made it
 *       and from the address that it came from;
 *   A2  nobody's word is taken: fields that members add are believed only as the forwarder believes them;
 *   A3  a refusal says why, as Apache's does, and never a secret;
 *   A4  a member that does not lead passes on nothing that it would refuse, and refuses nothing before it knows what the leader knew when the
 *       request came (doubts.ts): a stranger makes no traffic between members.
 *
 * What is made ready for a user (its key, its policies) hangs on the state's own object, which is replaced when it changes.
 *
 * Source: DefaultAuthenticationHandler, UserAuthorizationHandler, AclAuthorizationHandler, AuthenticationPipeline, AuthorizationPipeline.
 */
import {
  type Connection,
  createResponse,
  isSignedWith,
  type RemotingCommand,
  RemotingError,
  ResponseCode,
  SignatureField,
  type SigningKey,
  signingKey,
} from '@dledger-ts/remoting'
import { type AccessPolicies, type AccessUser, type ReadonlyAccess, subjectOf } from '@dledger-ts/store'
import { type NamedMessage, needsOf, needsOfMessage } from './needs.ts'
import { CompiledPolicies, type Need } from './policies.ts'

export interface AccessSettings {
  readonly authenticationEnabled: boolean
  readonly authorizationEnabled: boolean
  /** Codes that anybody may send. */
  readonly authenticationWhitelist: ReadonlySet<number>
  /** Codes that need no policy. */
  readonly authorizationWhitelist: ReadonlySet<number>
  readonly clusterName: string
}

/** Where a request came from, and which of its fields members of the group have added. */
export interface RequestOrigin {
  readonly ip: string
  readonly added: readonly string[]
}

export interface AccessControlOptions {
  readonly settings: AccessSettings
  access(): ReadonlyAccess
  originOf(connection: Connection, request: RemotingCommand): RequestOrigin
}

/** A name from outside, as far as a remark shows it. */
const SHOWN_CHARS_MAX = 255

export class AccessControl {
  readonly #options: AccessControlOptions
  readonly #keys = new WeakMap<AccessUser, SigningKey>()
  readonly #policies = new WeakMap<AccessPolicies, CompiledPolicies>()

  constructor(options: AccessControlOptions) {
    this.#options = options
  }

  /** Whether the one who sent this may change what only a super user may: one, or anybody where nobody is asked who he is. */
  isSuper(request: RemotingCommand): boolean {
    if (!this.#options.settings.authenticationEnabled) return true
    return this.#signerOf(request)?.type === 'Super'
  }

  /**
   * Whether the one who sent this is shown passwords: a super user, and nobody where nobody is asked who he is. There may be users there,
   * too: other members of the group ask.
   */
  seesPasswords(request: RemotingCommand): boolean {
    return this.#options.settings.authenticationEnabled && this.isSuper(request)
  }

  /** @returns the answer to a request that may not be done; null for one that may. Hot where it is switched on. */
  refusal(connection: Connection, request: RemotingCommand): RemotingCommand | null {
    const why = this.#whyNot(connection, request)
    return why === null ? null : createResponse(ResponseCode.NO_PERMISSION, why)
  }

  /**
   * As `refusal`, for a message that a request names by its place: only its record says which topic it is of. Of a request whose header
   * is allowed already.
   */
  refusalOfMessage(connection: Connection, request: RemotingCommand, message: NamedMessage): RemotingCommand | null {
    const { settings } = this.#options
    if (!settings.authorizationEnabled || settings.authorizationWhitelist.has(request.code)) return null
    const user = this.#signerOf(request)
    if (user?.type === 'Super') return null
    const why = this.#needsFault(user, needsOfMessage(message), this.#options.originOf(connection, request))
    return why === null ? null : createResponse(ResponseCode.NO_PERMISSION, why)
  }

  #whyNot(connection: Connection, request: RemotingCommand): string | null {
    const { settings } = this.#options
    if (!settings.authenticationEnabled) return null
    const origin = this.#options.originOf(connection, request)
    if (!settings.authenticationWhitelist.has(request.code)) {
      const fault = this.#signatureFault(request, origin)
      if (fault !== null) return fault
    }
    if (!settings.authorizationEnabled || settings.authorizationWhitelist.has(request.code)) return null
    return this.#policyFault(this.#signerOf(request), request, origin)
  }

  /** Of a request whose signature is not looked at nothing says who sent it. */
  #signerOf(request: RemotingCommand): AccessUser | undefined {
    return this.#options.settings.authenticationWhitelist.has(request.code) ? undefined : this.#userOf(request)
  }

  /** Who it says that it is of. */
  #userOf(request: RemotingCommand): AccessUser | undefined {
    return this.#options.access().users.get(request.extFields?.[SignatureField.ACCESS_KEY] ?? '')
  }

  #signatureFault(request: RemotingCommand, { added }: RequestOrigin): string | null {
    const username = request.extFields?.[SignatureField.ACCESS_KEY] ?? ''
    if (username === '') return 'username cannot be null.'
    const user = this.#userOf(request)
    if (user === undefined) return `User:${shown(username)} is not found.`
    if (user.status === 'disable') return `User:${shown(username)} is disabled.`
    let key = this.#keys.get(user)
    if (key === undefined) {
      key = signingKey(user.password)
      this.#keys.set(user, key)
    }
    return isSignedWith(request, key, added) ? null : 'check signature failed.'
  }

  #policyFault(user: AccessUser | undefined, request: RemotingCommand, origin: RequestOrigin): string | null {
    if (user?.type === 'Super') return null
    let needs: readonly Need[]
    try {
      needs = needsOf(request, this.#options.settings.clusterName)
    } catch (error) {
      if (error instanceof RemotingError) return `parse authorization context error. ${error.message}`
      throw error
    }
    return this.#needsFault(user, needs, origin)
  }

  #needsFault(user: AccessUser | undefined, needs: readonly Need[], { ip }: RequestOrigin): string | null {
    const subject = user === undefined ? 'Nobody' : subjectOf(user.username)
    const policies = user === undefined ? undefined : this.#policiesOf(subject)
    for (const need of needs) {
      const decision = policies?.decide(need, ip) ?? 'unmatched'
      if (decision === 'allowed') continue
      const detail = decision === 'denied' ? 'the decision is deny.' : 'no matched policies.'
      return `${subject} has no permission to access ${need.type}:${shown(need.name)} from ${ip}, ${detail}`
    }
    return null
  }

  #policiesOf(subject: string): CompiledPolicies | undefined {
    const policies = this.#options.access().policies.get(subject)
    if (policies === undefined) return undefined
    let compiled = this.#policies.get(policies)
    if (compiled === undefined) {
      compiled = new CompiledPolicies(policies)
      this.#policies.set(policies, compiled)
    }
    return compiled
  }
}

function shown(name: string): string {
  return name.slice(0, SHOWN_CHARS_MAX)
}

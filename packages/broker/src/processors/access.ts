/**
 * Users and policies: create, update, delete, get, list (3001 to 3010).
 *
 * Keeps:
 *   - users of type Super are made, changed and deleted by such users only, where requests are signed at all;
 *   - passwords are told to such users only, to nobody where requests are not signed (Apache's broker tells them to everybody who may ask),
 *     and stand in no log;
 *   - a change is answered when it is committed: another leader knows it.
 *
 * Source: AdminBrokerProcessor, AuthenticationMetadataManagerImpl, AuthorizationMetadataManagerImpl.
 */
import {
  AclRequest,
  type Connection,
  createResponse,
  decodeAclInfo,
  decodeUserInfo,
  encodeAclInfo,
  encodeAclInfos,
  encodeUserInfo,
  encodeUserInfos,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  type UserInfo,
  UserRequest,
} from '@dledger-ts/remoting'
import { type AccessPolicies, type AccessUser, isAccessName, type ReadonlyAccess, subjectOf } from '@dledger-ts/store'
import { PolicyFault, policiesOf, policyType, resourceOf, withoutEntry, withPolicies } from '../auth/policy-edits.ts'
import type { BrokerContext } from '../context.ts'
import type { Processor } from './registry.ts'

const USER_PREFIX = 'User:'
const OF_SUPER_ONLY = 'The super user can only be update by super user'

export function accessProcessors({ store, access }: BrokerContext): [number, Processor][] {
  async function createUser(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const username = UserRequest.CREATE.decode(request.extFields).username ?? ''
    if (username === '') return blankUsername()
    const info = decodeUserInfo(request.bodyBytes)
    const type = userType(info.userType) ?? 'Normal'
    if (type === 'Super' && !access.isSuper(request)) {
      return createResponse(ResponseCode.SYSTEM_ERROR, 'The super user can only be create by super user')
    }
    return answerFaults(async () => {
      if (!isAccessName(username)) throw new PolicyFault('username can not be blank, longer than 255 or of controls')
      const password = info.password ?? ''
      if (password.trim() === '') throw new PolicyFault('password can not be blank')
      const user: AccessUser = { username, password, type, status: userStatus(info.userStatus) ?? 'enable' }
      await store.changeAccess(({ users }) => {
        if (users.has(username)) throw new PolicyFault('The user is existed')
        return { kind: 'putUser', user }
      })
    })
  }

  async function updateUser(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const username = UserRequest.UPDATE.decode(request.extFields).username ?? ''
    if (username === '') return blankUsername()
    const info = decodeUserInfo(request.bodyBytes)
    const type = userType(info.userType)
    const isSuper = access.isSuper(request)
    if (type === 'Super' && !isSuper) return createResponse(ResponseCode.SYSTEM_ERROR, OF_SUPER_ONLY)
    return answerFaults(() =>
      store.changeAccess(({ users }) => {
        const present = users.get(username)
        if (present === undefined) throw new PolicyFault('The user is not exist')
        if (present.type === 'Super' && !isSuper) throw new PolicyFault(OF_SUPER_ONLY)
        const password = info.password ?? ''
        const user: AccessUser = {
          username,
          password: password.trim() === '' ? present.password : password,
          type: type ?? present.type,
          status: userStatus(info.userStatus) ?? present.status,
        }
        return { kind: 'putUser', user }
      }),
    )
  }

  async function deleteUser(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const username = UserRequest.DELETE.decode(request.extFields).username ?? ''
    const isSuper = access.isSuper(request)
    return answerFaults(async () => {
      if (username.trim() === '') throw new PolicyFault('username can not be blank')
      await store.changeAccess(({ users }) => {
        const present = users.get(username)
        if (present === undefined) return null
        if (present.type === 'Super' && !isSuper) throw new PolicyFault(OF_SUPER_ONLY)
        return { kind: 'deleteUser', username }
      })
    })
  }

  function getUser(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const username = UserRequest.GET.decode(request.extFields).username ?? ''
    if (username.trim() === '') return blankUsername()
    const user = store.access().users.get(username)
    const body = user === undefined ? undefined : encodeUserInfo(shownUser(user, access.seesPasswords(request)))
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
  }

  function listUsers(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const filter = (UserRequest.LIST.decode(request.extFields).filter ?? '').trim()
    const withPassword = access.seesPasswords(request)
    const found = sorted(store.access().users).filter(({ username }) => username.includes(filter))
    const body = found.length === 0 ? undefined : encodeUserInfos(found.map((user) => shownUser(user, withPassword)))
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
  }

  /** Both create and update add to what is there. */
  async function putPolicies(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const header = AclRequest.CREATE.decode(request.extFields)
    if (request.bodyBytes.length === 0) return createResponse(ResponseCode.SYSTEM_ERROR, 'The body of acl is null')
    const info = decodeAclInfo(request.bodyBytes)
    if (info.policies.length === 0) return createResponse(ResponseCode.SYSTEM_ERROR, 'The body of acl is null')
    return answerFaults(async () => {
      const subject = subjectIn(info.subject) ?? subjectIn(header.subject)
      if (subject === undefined) throw new PolicyFault('The subject is null.')
      const added = policiesOf(info)
      await store.changeAccess((table) => {
        if (!hasUser(table, subject)) throw new PolicyFault(`The subject of ${subject} is not exist.`)
        return { kind: 'putPolicies', policies: withPolicies(table.policies.get(subject), subject, added) }
      })
    })
  }

  async function deletePolicies(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const header = AclRequest.DELETE.decode(request.extFields)
    return answerFaults(async () => {
      const subject = subjectIn(header.subject)
      if (subject === undefined) throw new PolicyFault('The subject is null.')
      const type = policyType(header.policyType) ?? 'Custom'
      // One that cannot be read is not taken for none: that would delete all.
      const resource = (header.resource ?? '').trim() === '' ? null : resourceOf(header.resource)
      await store.changeAccess((table) => {
        if (!hasUser(table, subject)) throw new PolicyFault('The subject is not exist.')
        const present = table.policies.get(subject)
        if (present === undefined) throw new PolicyFault('The acl is not exist.')
        const left = resource === null ? null : withoutEntry(present, type, resource)
        return left === null ? { kind: 'deletePolicies', subject } : { kind: 'putPolicies', policies: left }
      })
    })
  }

  async function getPolicies(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const { subject: text } = AclRequest.GET.decode(request.extFields)
    let body: Buffer | undefined
    const answer = await answerFaults(() => {
      const subject = subjectIn(text)
      if (subject === undefined || !hasUser(store.access(), subject)) throw new PolicyFault('The subject is not exist.')
      const policies = store.access().policies.get(subject)
      if (policies !== undefined) body = encodeAclInfo(shownPolicies(policies))
      return Promise.resolve()
    })
    answer.body = body
    return answer
  }

  function listPolicies(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const { subjectFilter = '', resourceFilter = '' } = AclRequest.LIST.decode(request.extFields)
    const found: AccessPolicies[] = []
    for (const { subject, policies } of sorted(store.access().policies)) {
      if (!subject.includes(subjectFilter.trim())) continue
      const shown = policies
        .map(({ type, entries }) => ({
          type,
          entries: entries.filter(({ resource }) => resource.includes(resourceFilter.trim())),
        }))
        .filter(({ entries }) => entries.length > 0)
      if (shown.length > 0) found.push({ subject, policies: shown })
    }
    const body = found.length === 0 ? undefined : encodeAclInfos(found.map(shownPolicies))
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
  }

  return [
    [RequestCode.AUTH_CREATE_USER, { served: 'leader', handle: createUser }],
    [RequestCode.AUTH_UPDATE_USER, { served: 'leader', handle: updateUser }],
    [RequestCode.AUTH_DELETE_USER, { served: 'leader', handle: deleteUser }],
    [RequestCode.AUTH_GET_USER, { served: 'leader', handle: getUser }],
    [RequestCode.AUTH_LIST_USER, { served: 'leader', handle: listUsers }],
    [RequestCode.AUTH_CREATE_ACL, { served: 'leader', handle: putPolicies }],
    [RequestCode.AUTH_UPDATE_ACL, { served: 'leader', handle: putPolicies }],
    [RequestCode.AUTH_DELETE_ACL, { served: 'leader', handle: deletePolicies }],
    [RequestCode.AUTH_GET_ACL, { served: 'leader', handle: getPolicies }],
    [RequestCode.AUTH_LIST_ACL, { served: 'leader', handle: listPolicies }],
  ]
}

/** What cannot be is refused as Apache's broker does; anything else goes up. */
async function answerFaults(run: () => Promise<void>): Promise<RemotingCommand> {
  try {
    await run()
    return createResponse(ResponseCode.SUCCESS)
  } catch (error) {
    if (error instanceof PolicyFault) return createResponse(ResponseCode.NO_PERMISSION, error.message)
    throw error
  }
}

function blankUsername(): RemotingCommand {
  return createResponse(ResponseCode.INVALID_PARAMETER, 'The username is blank')
}

function userType(text: string | undefined): AccessUser['type'] | undefined {
  const lower = text?.toLowerCase()
  return lower === 'super' ? 'Super' : lower === 'normal' ? 'Normal' : undefined
}

function userStatus(text: string | undefined): AccessUser['status'] | undefined {
  const lower = text?.toLowerCase()
  return lower === 'enable' || lower === 'disable' ? lower : undefined
}

function shownUser({ username, password, type, status }: AccessUser, withPassword: boolean): UserInfo {
  return { username, password: withPassword ? password : undefined, userType: type, userStatus: status }
}

function shownPolicies({ subject, policies }: AccessPolicies) {
  return { subject, policies: policies.map(({ type, entries }) => ({ policyType: type, entries })) }
}

/** @returns the subject in its own form: users are the only ones. */
function subjectIn(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const colon = text.indexOf(':')
  if (colon < 0 || text.slice(0, colon).toLowerCase() !== 'user') return undefined
  const name = text.slice(colon + 1)
  return isAccessName(name) ? subjectOf(name) : undefined
}

function hasUser({ users }: ReadonlyAccess, subject: string): boolean {
  return users.has(subject.slice(USER_PREFIX.length))
}

/** By name, as Apache's broker lists them. */
function sorted<Value>(table: ReadonlyMap<string, Value>): Value[] {
  return [...table].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, value]) => value)
}

/** Users and policies as tools send and get them. Source: UserInfo, AclInfo of org.apache.rocketmq.remoting.protocol.body. */
import { asArray, asObject, parseObject, textOr, texts } from './reader.ts'
import { type DialectObject, type DialectValue, parseDialect } from './dialect.ts'

/** What is undefined is not said: in an update it stays, in an answer it is not shown. */
export interface UserInfo {
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** `Super`, `Normal` */
  readonly userType?: string | undefined
  /** `enable`, `disable` */
  readonly userStatus?: string | undefined
}

export interface AclInfo {
  /** `User:name` */
  readonly subject?: string | undefined
  readonly policies: readonly AclPolicyInfo[]
}

export interface AclPolicyInfo {
  /** `Custom`, `Default` */
  readonly policyType?: string | undefined
  readonly entries: readonly AclEntryInfo[]
}

export interface AclEntryInfo {
  readonly resource?: string | undefined
  readonly actions: readonly string[]
  readonly sourceIps: readonly string[]
  /** `Allow`, `Deny` */
  readonly decision?: string | undefined
}

/** @throws RemotingError `BAD_BODY`. */
export function decodeUserInfo(body: Buffer): UserInfo {
  return readUser(parseObject(body, 'a user'))
}

export function encodeUserInfo(user: UserInfo): Buffer {
  return Buffer.from(userText(user))
}

/** @throws RemotingError `BAD_BODY`. */
export function decodeUserInfos(body: Buffer): UserInfo[] {
  return asArray(parseDialect(body.toString('utf8')), 'users').map((user) => readUser(asObject(user, 'a user')))
}

export function encodeUserInfos(users: readonly UserInfo[]): Buffer {
  return Buffer.from(`[${users.map(userText).join(',')}]`)
}

/** @throws RemotingError `BAD_BODY`. */
export function decodeAclInfo(body: Buffer): AclInfo {
  return readAcl(parseObject(body, 'policies'))
}

export function encodeAclInfo(acl: AclInfo): Buffer {
  return Buffer.from(aclText(acl))
}

/** @throws RemotingError `BAD_BODY`. */
export function decodeAclInfos(body: Buffer): AclInfo[] {
  return asArray(parseDialect(body.toString('utf8')), 'policies').map((acl) => readAcl(asObject(acl, 'policies')))
}

export function encodeAclInfos(acls: readonly AclInfo[]): Buffer {
  return Buffer.from(`[${acls.map(aclText).join(',')}]`)
}

function readUser(object: DialectObject): UserInfo {
  const text = (name: string): string | undefined => textOr(object[name], undefined, name)
  return {
    username: text('username'),
    password: text('password'),
    userType: text('userType'),
    userStatus: text('userStatus'),
  }
}

function readAcl(object: DialectObject): AclInfo {
  return {
    subject: textOr(object['subject'], undefined, 'subject'),
    policies: asArray(object['policies'], 'policies').map(readPolicy),
  }
}

function readPolicy(value: DialectValue): AclPolicyInfo {
  const object = asObject(value, 'a policy')
  return {
    policyType: textOr(object['policyType'], undefined, 'policyType'),
    entries: asArray(object['entries'], 'entries').map(readEntry),
  }
}

function readEntry(value: DialectValue): AclEntryInfo {
  const object = asObject(value, 'an entry')
  return {
    resource: textOr(object['resource'], undefined, 'resource'),
    actions: texts(object['actions'], 'actions'),
    sourceIps: texts(object['sourceIps'], 'sourceIps'),
    decision: textOr(object['decision'], undefined, 'decision'),
  }
}

/** Keys in alphabetical order, nothing that is null, as Java writes them. */
function userText({ username, password, userType, userStatus }: UserInfo): string {
  return JSON.stringify({ password, userStatus, userType, username })
}

function aclText({ subject, policies }: AclInfo): string {
  return JSON.stringify({
    policies: policies.map(({ policyType, entries }) => ({
      entries: entries.map(({ actions, decision, resource, sourceIps }) => ({
        actions,
        decision,
        resource,
        ...(sourceIps.length === 0 ? {} : { sourceIps }),
      })),
      policyType,
    })),
    subject,
  })
}

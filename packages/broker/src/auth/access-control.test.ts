/** Who is believed to be who. */
import { type Connection, createRequest, RequestCode } from '@dledger-ts/remoting'
import { expect, test } from 'vitest'
import { AccessControl } from './access-control.ts'

const root = { username: 'root', password: 'the password of root', type: 'Super', status: 'enable' } as const
const connection = {} as Connection
const signedBy = (AccessKey: string) => createRequest(RequestCode.VIEW_MESSAGE_BY_ID, { AccessKey, offset: '0' })
const message = { topic: 'T', action: 'read', group: null } as const

function accessControl(authenticationEnabled: boolean, ...withoutSignature: number[]): AccessControl {
  return new AccessControl({
    settings: {
      authenticationEnabled,
      authorizationEnabled: authenticationEnabled,
      authenticationWhitelist: new Set(withoutSignature),
      authorizationWhitelist: new Set(),
      clusterName: 'C',
    },
    access: () => ({ users: new Map([['root', root]]), policies: new Map() }),
    originOf: () => ({ ip: '127.0.0.1', added: [] }),
  })
}

test('where signatures are not looked at a name is nobody', () => {
  const access = accessControl(true, RequestCode.VIEW_MESSAGE_BY_ID)
  expect(access.isSuper(signedBy('root'))).toBe(false)
  expect(access.seesPasswords(signedBy('root'))).toBe(false)
  expect(access.refusalOfMessage(connection, signedBy('root'), message)).toMatchObject({
    code: 16,
    remark: 'Nobody has no permission to access Topic:T from 127.0.0.1, no matched policies.',
  })
})

test('where they are, a super user is one', () => {
  const access = accessControl(true)
  expect(access.isSuper(signedBy('root'))).toBe(true)
  expect(access.seesPasswords(signedBy('root'))).toBe(true)
  expect(access.refusalOfMessage(connection, signedBy('root'), message)).toBeNull()
})

test('where nobody is asked who he is anybody may change users, and nobody sees passwords', () => {
  const access = accessControl(false)
  expect(access.isSuper(signedBy('root'))).toBe(true)
  expect(access.seesPasswords(signedBy('root'))).toBe(false)
})

/** A broker that is starting. */
import { type Connection, createRequest, RequestCode } from '@dledger-ts/remoting'
import { expect, test } from 'vitest'
import { startingProcessors } from './starting.ts'

test('a request while the store is being opened is answered 14', () => {
  const processors = startingProcessors()
  for (const code of Object.values(RequestCode)) {
    const answer = processors.get(code)?.({} as Connection, createRequest(code, {}))
    expect(answer).toMatchObject({ code: 14, remark: 'this broker is starting' })
  }
})

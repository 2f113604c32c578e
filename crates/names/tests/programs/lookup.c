/* Prints the addresses of its arguments by the C library it is built with. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    struct addrinfo hints, *found, *next;
    char text[INET6_ADDRSTRLEN];
    int failed = 0;

    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    for (int i = 1; i < argc; i++) {
        if (getaddrinfo(argv[i], "80", &hints, &found) != 0) {
            failed = 1;
            continue;
        }
        for (next = found; next; next = next->ai_next) {
            const void *address = next->ai_family == AF_INET
                                      ? (void *)&((struct sockaddr_in *)next->ai_addr)->sin_addr
                                      : (void *)&((struct sockaddr_in6 *)next->ai_addr)->sin6_addr;
            puts(inet_ntop(next->ai_family, address, text, sizeof text));
        }
        freeaddrinfo(found);
    }
    return failed;
}
